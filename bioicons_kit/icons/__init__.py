"""From a folder of untrusted pictures to training pictures with captions and licenses; no torch.

    library    folder -> Icon              sources      a preset's libraries, of all kinds
    select     icons x buckets -> Row      captions     row -> texts
    picture    file -> picture             workers      many pictures, in other processes
    manifest   rows -> metadata.jsonl      attribution  records -> ATTRIBUTION.md
    folder     a preset's pictures, captions and credits as a dataset folder

`library` rests on `walk` (which files), `authors`, `licenses` and `sidecar` (what is said of
them); `select` on `filters`, `policy` (which licenses may enter), `quotas` and `holdout`;
`picture` on `document` (bytes -> safe SVG) and `raster` (safe SVG -> pixels; `fonts`, `quirks`);
`workers` on `worker`, the process that makes a picture and can be killed.
"""
