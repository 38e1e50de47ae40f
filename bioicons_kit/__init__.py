"""bioicons_kit: fine-tune FLUX.1-dev on an SVG icon library, and honor its licenses.

Importing the package imports nothing heavy; `bioicons_kit.icons` works without torch.
"""

__version__ = "0.1.0"
