"""The parts of drawing: pictures inside SVGs, fonts, what cairosvg gets wrong, the worker."""
