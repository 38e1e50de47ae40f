"""The dataset folder: pictures, captions and credits, to look at, to load and to pass on.

prepare walks the whole road, as often as one likes: plan (rows -> what each picture is
called and made from), draw (what is missing -> stamped PNGs), finish (everything else).
journal knows which files of a folder are the kit's, stamp what a PNG was made from. texts
are metadata, credits and dataset card; report and contact are to look at, with looks and
near_duplicates behind them; push sends the folder to the hub.
"""
