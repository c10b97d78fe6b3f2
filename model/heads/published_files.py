"""Files of heads that others have published, read without running anything that is in them.

Known are pairs of CityAesthetics (the config may be lacking), both programs of LAION,
aesthetic-predictor-v2.5 and waifu-scorer, by themselves or within a whole checkpoint, as
.safetensors, .pth or .pt; what is in a file decides, not its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from model.checkpoints.read import StoredWeights, open_weights
from model.errors import ModelError
from model.heads.head import Head
from model.heads.head_files import LoadedHead, config_path, load_head, weights_path
from model.heads.published_heads import (
    AnyHead,
    Chain,
    ForeignHead,
    Layout,
    Scale,
    Tensors,
    checked_scale,
    city_head,
    filled,
    layouts,
    oddity,
)

CITY = "CityAesthetics"
# Without a config of ours the newer encoder: all but the first versions were trained with it.
_CITY_ENCODERS = {768: "clip-l14-336"}
_WHOLE = (0.0, 1.0)
_MOST = 1 << 25  # values; a published head has some million


@dataclass(frozen=True, slots=True, eq=False)
class PublishedHead:
    """A head as its file has it, and how it is meant.

    `encoder` is the name of the encoder whose embeddings it reads, None where the file doesn't
    imply any; `scale` what it says from worst to best, None where that must be said; `labels` are
    the names of its outputs where there are several, of which one must be chosen as the score.
    """

    file: str
    kind: str
    body: Head | Chain
    normalise: bool
    scale: Scale | None
    encoder: str | None
    labels: list[str] = field(default_factory=list)
    column: int = 0

    @property
    def features(self) -> int:
        return self.body.features

    def head(self, scale: Scale | None = None, label: str | None = None) -> AnyHead:
        """The head with its score on 0–1; a score of CityAesthetics stays what it is.

        Raises `ModelError` for a scale that is none or must be said, and unless `label` is one of
        `labels` where there are any.
        """
        column = self._column(label)
        scale = scale or self.scale
        if scale is None:
            raise ModelError(
                f"{self.file} doesn't tell what its worst and its best are; say so with --scale "
                "LOW:HIGH, such as 0:10 or 0:1."
            )
        try:
            scale = checked_scale(scale)
        except ValueError as error:
            raise ModelError(f"{scale} is no scale: {error}; such as 1:10.") from error
        if isinstance(self.body, Head) and self.body.outputs == 1 and scale == _WHOLE:
            return self.body
        return ForeignHead(self.body, normalise=self.normalise, scale=scale, column=column)

    def _column(self, label: str | None) -> int:
        if label is None and not self.labels:
            return self.column
        known = ", ".join(self.labels)
        if label is None:
            raise ModelError(
                f"{self.file} tells {len(self.labels)} classes apart instead of giving a score; "
                f"choose whose share is the score, with --label: {known}."
            )
        if label not in self.labels:
            told = f"its classes are {known}" if known else "it gives one score: leave --label out"
            raise ModelError(f"{self.file} has no class {label}; {told}.")
        return self.labels.index(label)


def read_published(path: Path) -> PublishedHead:
    """The head in a file (or of a pair, named by either); raises `ModelError` if it holds none."""
    weights = weights_path(path)
    if weights.is_file() and config_path(path).is_file():
        return _of_pair(weights, load_head(path))
    if path.is_dir() or not path.exists():
        what = "is a folder; name the file in it" if path.is_dir() else "is not there; check it"
        raise ModelError(f"{path} {what}.")
    with open_weights(path) as stored:
        shapes = stored.shapes()
        found = layouts(shapes)
        if len(found) == 1:
            return _of_layout(path, stored, found[0])
        if found:
            places = ", ".join(layout.layers[0].removesuffix(".") for layout in found[:5])
            raise ModelError(
                f"{path} holds several heads ({places}); save the one that is meant by itself."
            )
        head = city_head(shapes)
        if head is None:
            odd = oddity(shapes)
            raise ModelError(
                f"{path} is no head that is known here{': ' if odd else ''}{odd}; those of "
                "CityAesthetics, LAION, aesthetic-predictor-v2.5 and waifu-scorer are. Choose "
                "another file."
            )
        filled(head, _tensors(path, stored, list(shapes)))
    return _of_city(path.name, head, [str(place) for place in range(head.outputs)])


def _of_layout(path: Path, stored: StoredWeights, layout: Layout) -> PublishedHead:
    """The chain, which may be a part of a whole checkpoint: all else in it is left alone."""
    shapes, kind = stored.shapes(), layout.kind
    names = layout.names(shapes)
    chain = layout.chain(_tensors(path, stored, names))
    if chain is None:
        raise ModelError(f"{path} has layers that don't fit one another; get the file again.")
    others = [
        name for name in shapes if name not in names and not name.endswith("num_batches_tracked")
    ]
    return PublishedHead(
        path.name,
        f"{kind.name}, cut out of a checkpoint" if others else kind.name,
        chain,
        True,
        kind.scale,
        kind.encoders.get(chain.features),
    )


def _of_pair(path: Path, loaded: LoadedHead) -> PublishedHead:
    made_with = loaded.metadata.get("encoder")
    encoder = made_with if isinstance(made_with, str) else None
    head = loaded.head
    if isinstance(head, Head):
        return _of_city(path.name, head, loaded.labels, encoder)
    assert isinstance(head.body, (Head, Chain))
    return PublishedHead(
        path.name,
        str(loaded.config.get("name") or CITY),
        head.body,
        head.normalise,
        head.scale,
        encoder,
        column=head.column,
    )


def _of_city(file: str, head: Head, labels: list[str], encoder: str | None = None) -> PublishedHead:
    several = head.outputs > 1
    if several and len(labels) != head.outputs:
        labels = [str(place) for place in range(head.outputs)]
    return PublishedHead(
        file,
        CITY,
        head,
        False,
        _WHOLE,
        encoder or _CITY_ENCODERS.get(head.features),
        labels if several else [],
    )


def _tensors(path: Path, stored: StoredWeights, names: list[str]) -> Tensors:
    """Raises `ModelError`; nothing that a head can't be is read, converted or kept."""
    described = {name: stored.described[name] for name in names}
    # A small view may be of a storage without end, all of which would be read.
    storages = {each.storage for each in described.values() if each.storage}
    behind = sum(each.count for each in storages)
    if max(behind, sum(each.numel for each in described.values())) > _MOST:
        raise ModelError(f"{path} has far too many weights for a head; choose another file.")
    tensors = {}
    for name, told in described.items():
        value = stored.tensor(name).float() if told.dtype.is_floating_point else None
        if value is None or not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"{path} has no weights of a head in {name} (they must be finite numbers); "
                "get the file again."
            )
        tensors[name] = value
    return tensors
