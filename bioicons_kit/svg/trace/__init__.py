"""Pictures -> icons: palette, regions, layers, outlines, shapes. Start reading at `tracer`."""
