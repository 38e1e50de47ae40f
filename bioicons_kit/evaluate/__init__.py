"""Measures of what a model draws: does it show what was asked, in the style that was asked.

judge       a small network that names the subject and the style of a drawing
"""
