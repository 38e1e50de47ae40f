"""Simplified SVG files: one at a time, checked by drawing, in processes that can be killed."""
