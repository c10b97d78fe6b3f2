"""A head as ONNX: made by torch's exporter, and held against the head before anybody gets it.

All of it computes in float32. Only a head that cancels large numbers in its last layers, as `quick`
once wrote them, has those in float64: any runtime would round them to other scores.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.errors import ModelError
from model.heads.head import Head
from model.heads.published_heads import AnyHead

INPUT, OUTPUT = "embedding", "score"
AGREEMENT = 1e-4  # the most by which a score may differ
# What tells of the machine that it was made on: paths in stack traces, our own module names.
_TRACES = ("metadata_props", "doc_string")


def onnx_bytes(head: AnyHead, embeddings: NDArray[np.floating], facts: Mapping[str, str]) -> bytes:
    """An ONNX model: raw embeddings float32 (B, width) → scores (B, 1), 0–1, for any B.

    `embeddings` (n, width) are what it is tried on; `facts` become its metadata. Raises
    `ModelError` where a package is missing, or the scores differ by more than `AGREEMENT`.
    """
    onnx = _packages()
    try:
        return _made(onnx, head, head, embeddings, facts)
    except ModelError:
        if not (steady := _steady(head)):
            raise
        return _made(onnx, steady, head, embeddings, facts)


def _made(
    onnx: Any,
    module: nn.Module,
    head: AnyHead,
    embeddings: NDArray[np.floating],
    facts: Mapping[str, str],
) -> bytes:
    """`module` as ONNX, held against `head`."""
    model = _exported(module, head.features)
    for kind in (model.graph.node, model.graph.value_info, model.graph.input, model.graph.output):
        for part in kind:
            for trace in _TRACES:
                part.ClearField(trace)
    onnx.helper.set_model_props(model, dict(facts))
    made: bytes = model.SerializeToString()
    check(made, head, embeddings)
    return made


def check(made: bytes, head: AnyHead, embeddings: NDArray[np.floating]) -> None:
    """Raises `ModelError` where `made` and `head`, computed in float64, disagree about `embeddings`
    (n, width).
    """
    import onnxruntime

    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    (said,) = session.run([OUTPUT], {INPUT: vectors})
    with torch.inference_mode():
        meant = copy.deepcopy(head).double()(torch.from_numpy(vectors).double())
    wrong = np.abs(said - meant.numpy())  # (n, 1)
    if not (wrong <= AGREEMENT).all():  # NaN, too
        raise ModelError(
            f"The ONNX model differs from the head by up to {wrong.max():.2g}, more than "
            f"{AGREEMENT:g}, so it was not written; update onnxscript and onnxruntime, or export "
            "the pair of files: labeler export model OUT"
        )


def _packages() -> Any:
    """The module onnx; raises `ModelError` unless all that is needed is installed."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "ONNX needs some more packages; install them: pip install 'taste-labeler[onnx]'"
        ) from error
    return onnx


def _exported(module: nn.Module, width: int) -> Any:
    """The model as onnx holds it, its weights inside."""
    example = torch.zeros(2, width)  # of 1 the exporter would take the batch for fixed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter about torch's own innards
        program = torch.onnx.export(
            copy.deepcopy(module).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    return program.model_proto


class _Float64(nn.Module):
    """Layers that compute in float64 between others that don't."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.double()).float()


def _steady(head: AnyHead) -> nn.Module | None:
    """A copy of `head` whose last layers are in float64; `None` for one of another kind."""
    copied = copy.deepcopy(head)
    body = copied if isinstance(copied, Head) else copied.body
    if not isinstance(body, Head):
        return None
    layers = list(body.down)
    body.down = nn.Sequential(*layers[:4], _Float64(nn.Sequential(*layers[4:])))
    return copied
