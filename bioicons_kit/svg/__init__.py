"""SVG documents: safe parsing, styles, geometry, simplification, tracing. No torch, no icons."""
