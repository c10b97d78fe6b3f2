"""Files of heads that others have published, read without running anything that is in them.

Known are pairs of CityAesthetics (the config may be lacking), both programs of LAION and
aesthetic-predictor-v2.5, as .safetensors, .pth or .pt; what is in a file decides, not its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from model.checkpoints import read_checkpoint
from model.errors import ModelError
from model.foreign_heads import (
    KINDS,
    AnyHead,
    Chain,
    ForeignHead,
    Scale,
    Tensors,
    checked_scale,
    city_head,
)
from model.head import Head
from model.head_files import LoadedHead, config_path, load_head, weights_path

CITY = "CityAesthetics"
# Without a config of ours the newer encoder: all but the first versions were trained with it.
_CITY_ENCODERS = {768: "clip-l14-336"}
_WHOLE = (0.0, 1.0)
_LARGEST = 1 << 30  # bytes
_MOST = 1 << 25  # values; a published head has some million


@dataclass(frozen=True, slots=True, eq=False)
class PublishedHead:
    """A head as its file has it, and how it is meant.

    `encoder` is the name of the encoder whose embeddings it reads, None where the file doesn't
    imply any; `scale` what it says from worst to best; `labels` are the names of its outputs where
    there are several, of which one must be chosen as the score.
    """

    file: str
    kind: str
    body: Head | Chain
    normalise: bool
    scale: Scale
    encoder: str | None
    labels: list[str] = field(default_factory=list)
    column: int = 0

    @property
    def features(self) -> int:
        return self.body.features

    def head(self, scale: Scale | None = None, label: str | None = None) -> AnyHead:
        """The head with its score on 0–1; a score of CityAesthetics stays what it is.

        Raises `ModelError` for a scale that is none, and unless `label` is one of `labels` where
        there are any.
        """
        column = self._column(label)
        try:
            scale = checked_scale(scale or self.scale)
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
    tensors = _tensors(path)
    for kind in KINDS:
        chain = kind.chain(tensors)
        if chain is not None:
            return PublishedHead(
                path.name,
                kind.name,
                chain,
                True,
                kind.scale,
                kind.encoders.get(chain.features),
            )
    head = city_head(tensors)
    if head is None:
        raise ModelError(
            f"{path} is no head that is known here: those of CityAesthetics, LAION and "
            "aesthetic-predictor-v2.5 are. Choose another file."
        )
    return _of_city(path.name, head, [str(place) for place in range(head.outputs)])


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


def _tensors(path: Path) -> Tensors:
    """Raises `ModelError`; nothing that a head can't be is converted or kept."""
    if path.is_dir() or not path.exists():
        what = "is a folder; name the file in it" if path.is_dir() else "is not there; check it"
        raise ModelError(f"{path} {what}.")
    if path.stat().st_size > _LARGEST:
        raise ModelError(f"{path} is far too large for a head; choose another file.")
    tensors = read_checkpoint(path).tensors
    if sum(value.numel() for value in tensors.values()) > _MOST:
        raise ModelError(f"{path} has far too many weights for a head; choose another file.")
    for name, value in tensors.items():
        usable = value.is_floating_point() and value.layout == torch.strided
        if not usable or not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"{path} has no weights of a head in {name} (they must be finite numbers); "
                "get the file again."
            )
    return tensors
