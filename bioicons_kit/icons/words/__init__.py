"""Captions: names made readable, captions files, and models that write captions."""
