import subprocess
import sys
from pathlib import Path

import bioicons_kit.icons

WITHOUT_TORCH = """
import importlib, sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "diffusers", "transformers", "accelerate"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
for name in sys.argv[1:]:
    importlib.import_module(name)
from bioicons_kit.icons import captions, library, raster, select
from bioicons_kit.preset import Bucket, Dataset

dataset = Dataset(root="shipped", caption="{name}", buckets=[Bucket(limit=1)])
rows = select.rows(library.scan("shipped"), dataset)
picture = raster.picture(
    rows[0].icon.path.read_bytes(), 32, "#ffffff", 0.05, raster.choose("auto")
)
print(captions.caption(rows[0].icon, "{article} {name}", ""), picture.size)
"""


def test_icons_work_where_torch_is_not_installed():
    folder = Path(bioicons_kit.icons.__file__).parent
    modules = [f"bioicons_kit.icons.{path.stem}" for path in sorted(folder.glob("[a-z]*.py"))]
    assert len(modules) >= 8
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "bioicons_kit.icons", *modules],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(32, 32)" in done.stdout
