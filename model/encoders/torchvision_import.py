"""Importing this makes `import torchvision` work where its compiled operators can't load.

A CPU build of torch beside a torchvision built for CUDA stops with "operator torchvision::nms does
not exist": the compiled library that declares the operators isn't loaded, while torchvision's
Python side registers shapes for them. open_clip and timm import torchvision for its transforms
only, so declaring the missing operators, which nobody calls, is enough. A torchvision that imports
by itself is left alone. The work is done once, under the import system's own lock.
"""

from __future__ import annotations

import torch

# Imported where they are used: the import itself is what this module tries and mends.

MISSING = "operator torchvision::"
# As torchvision's csrc/ops/nms.cpp declares them; a name that this release lacks does no harm.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _import_torchvision() -> torch.library.Library | None:
    """The library that holds the stand-in declarations, or None where none are needed."""
    try:
        import torchvision
    except RuntimeError as error:
        if MISSING not in str(error):
            raise
    else:
        del torchvision
        return None
    stand_in = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        stand_in.define(schema)
    import torchvision

    return stand_in


# Kept for the life of the process: the declarations go when the library object goes.
STAND_IN = _import_torchvision()
