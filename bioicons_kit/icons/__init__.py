"""From a folder of untrusted SVGs to pictures with captions and licenses; no torch here.

    library    folder -> Icon              licenses   what each license asks
    select     icons x buckets -> Row      captions   icon -> text
    document   bytes -> safe, square SVG   raster     safe SVG -> picture
    manifest   rows -> metadata.jsonl, ATTRIBUTION.md

`document` rests on `viewport` (sizes and the square), `styles` (CSS), `embedded`
(pictures inside) and `cost` (what drawing would take).
"""
