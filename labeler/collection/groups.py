"""Groups of images that belong together, as numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import db.images.lookup
import db.versions.predictions
from labeler.core.project import Project


def group_numbers(project: Project, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number (n,) per image of `ids` (n,) that is the same for images of the same group."""
    group_of = db.images.lookup.groups(project.store)
    # An image without a group goes by its own number, a group by one below zero.
    number_of = {name: -k for k, name in enumerate(sorted(set(group_of.values())), start=1)}
    numbers = [number_of[group_of[i]] if i in group_of else i for i in ids.tolist()]
    return np.unique(np.array(numbers, dtype=np.int64), return_inverse=True)[1].astype(np.int64)
