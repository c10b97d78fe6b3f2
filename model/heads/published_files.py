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
    ChainLayout,
    LinearChain,
    PublishedHead,
    Scale,
    Tensors,
    cityaesthetics_head,
    explain_unknown,
    find_chains,
    validated_scale,
    with_weights,
)

CITY = "CityAesthetics"
# Without a config of ours the newer encoder: all but the first versions were trained with it.
_CITY_ENCODERS = {768: "clip-l14-336"}
_UNIT_SCALE = (0.0, 1.0)
_MAX_VALUES = 1 << 25  # values; a published head has some million


@dataclass(frozen=True, slots=True, eq=False)
class PublishedHeadFile:
    """A head as its file holds it, and what its outputs mean.

    `encoder` is the name of the encoder whose embeddings it reads, None where the file doesn't
    imply any; `scale` its worst and best output, None where the user must say so; `labels` are the
    names of its outputs where there are several, of which one must be chosen as the score.
    """

    file: str
    kind: str
    body: Head | LinearChain
    normalise: bool
    scale: Scale | None
    encoder: str | None
    labels: list[str] = field(default_factory=list)
    column: int = 0

    @property
    def features(self) -> int:
        return self.body.features

    def head(self, scale: Scale | None = None, label: str | None = None) -> AnyHead:
        """Return the head with its score on 0–1; a score of CityAesthetics stays what it is.

        Raises `ModelError` for an invalid or missing scale, and unless `label` is one of
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
            scale = validated_scale(scale)
        except ValueError as error:
            raise ModelError(f"{scale} is no scale: {error}; such as 1:10.") from error
        if isinstance(self.body, Head) and self.body.outputs == 1 and scale == _UNIT_SCALE:
            return self.body
        return PublishedHead(self.body, normalise=self.normalise, scale=scale, column=column)

    def _column(self, label: str | None) -> int:
        if label is None and not self.labels:
            return self.column
        names = ", ".join(self.labels)
        if label is None:
            raise ModelError(
                f"{self.file} tells {len(self.labels)} classes apart instead of giving a score; "
                f"choose whose share is the score, with --label: {names}."
            )
        if label not in self.labels:
            hint = f"its classes are {names}" if names else "it gives one score: leave --label out"
            raise ModelError(f"{self.file} has no class {label}; {hint}.")
        return self.labels.index(label)


def read_published(path: Path) -> PublishedHeadFile:
    """Read the head in a file (or a pair, named by either); raises `ModelError` if it has none."""
    weights = weights_path(path)
    if weights.is_file() and config_path(path).is_file():
        return _of_pair(weights, load_head(path))
    if path.is_dir() or not path.exists():
        problem = "is a folder; name the file in it" if path.is_dir() else "is not there; check it"
        raise ModelError(f"{path} {problem}.")
    with open_weights(path) as stored:
        shapes = stored.shapes()
        chains = find_chains(shapes)
        if len(chains) == 1:
            return _of_layout(path, stored, chains[0])
        if chains:
            names = ", ".join(layout.layers[0].removesuffix(".") for layout in chains[:5])
            raise ModelError(
                f"{path} holds several heads ({names}); save the one that is meant by itself."
            )
        head = cityaesthetics_head(shapes)
        if head is None:
            reason = explain_unknown(shapes)
            raise ModelError(
                f"{path} is no head that is known here{': ' if reason else ''}{reason}; those of "
                "CityAesthetics, LAION, aesthetic-predictor-v2.5 and waifu-scorer are. Choose "
                "another file."
            )
        with_weights(head, _tensors(path, stored, list(shapes)))
    return _of_city(path.name, head, [str(place) for place in range(head.outputs)])


def _of_layout(path: Path, stored: StoredWeights, layout: ChainLayout) -> PublishedHeadFile:
    """Return the chain, which may be a part of a whole checkpoint: the rest of it is not read."""
    shapes, family = stored.shapes(), layout.family
    names = layout.names(shapes)
    chain = layout.chain(_tensors(path, stored, names))
    if chain is None:
        raise ModelError(f"{path} has layers that don't fit one another; get the file again.")
    others = [
        name for name in shapes if name not in names and not name.endswith("num_batches_tracked")
    ]
    return PublishedHeadFile(
        path.name,
        f"{family.name}, cut out of a checkpoint" if others else family.name,
        chain,
        True,
        family.scale,
        family.encoders.get(chain.features),
    )


def _of_pair(path: Path, loaded: LoadedHead) -> PublishedHeadFile:
    named = loaded.metadata.get("encoder")
    encoder = named if isinstance(named, str) else None
    head = loaded.head
    if isinstance(head, Head):
        return _of_city(path.name, head, loaded.labels, encoder)
    assert isinstance(head.body, (Head, LinearChain))
    return PublishedHeadFile(
        path.name,
        str(loaded.config.get("name") or CITY),
        head.body,
        head.normalise,
        head.scale,
        encoder,
        column=head.column,
    )


def _of_city(
    file: str, head: Head, labels: list[str], encoder: str | None = None
) -> PublishedHeadFile:
    is_classifier = head.outputs > 1
    if is_classifier and len(labels) != head.outputs:
        labels = [str(place) for place in range(head.outputs)]
    return PublishedHeadFile(
        file,
        CITY,
        head,
        False,
        _UNIT_SCALE,
        encoder or _CITY_ENCODERS.get(head.features),
        labels if is_classifier else [],
    )


def _tensors(path: Path, stored: StoredWeights, names: list[str]) -> Tensors:
    """Read tensors in float32; raises `ModelError`, before reading, for what can't be a head's."""
    described = {name: stored.described[name] for name in names}
    # A small view may be of a storage without end, all of which would be read.
    storages = {each.storage for each in described.values() if each.storage}
    stored_values = sum(each.count for each in storages)
    if max(stored_values, sum(each.numel for each in described.values())) > _MAX_VALUES:
        raise ModelError(f"{path} has far too many weights for a head; choose another file.")
    tensors = {}
    for name, stored_tensor in described.items():
        value = stored.tensor(name).float() if stored_tensor.dtype.is_floating_point else None
        if value is None or not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"{path} has no weights of a head in {name} (they must be finite numbers); "
                "get the file again."
            )
        tensors[name] = value
    return tensors
