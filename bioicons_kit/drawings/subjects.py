"""All subjects, in the order of their modules: importing these enters them."""

from bioicons_kit.drawings import animals, body, cells, devices, insects, lab, molecules, plants
from bioicons_kit.drawings.registry import SUBJECTS

MODULES = (animals, insects, cells, body, lab, plants, molecules, devices)

__all__ = ["MODULES", "SUBJECTS"]
