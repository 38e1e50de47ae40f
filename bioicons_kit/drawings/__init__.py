"""Drawings that the kit makes itself: named subjects of a scientist's world, in generic styles.

They are what the starter model was trained on, and what its judge knows. No torch, no pictures
from elsewhere: a number in, an SVG out, the same each time.

    pen         outlines, before any style
    registry    a subject: a name and a function that draws it
    animals  insects  cells  body  lab  plants  molecules  devices     the subjects
    pose        turned, stretched, placed
    styles      marks -> SVG
    generate    number -> drawing, and its captions
"""
