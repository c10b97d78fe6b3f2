"""Export a head as ONNX with torch's exporter, and compare its scores with the head's.

All of it computes in float32. Only a head that cancels large numbers in its last layers, as `quick`
once wrote them, has those in float64: otherwise runtimes would round them to other scores.
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

# Imported where they are used: onnx is an optional extra.

INPUT, OUTPUT = "embedding", "score"
AGREEMENT = 1e-4  # the most by which a score may differ
# What tells of the machine that it was made on: paths in stack traces, our own module names.
_TRACE_FIELDS = ("metadata_props", "doc_string")


def head_to_onnx(
    head: AnyHead, embeddings: NDArray[np.floating], facts: Mapping[str, str]
) -> bytes:
    """Return an ONNX model: raw embeddings float32 (B, width) → scores (B, 1), 0–1, for any B.

    `embeddings` (n, width) are what it is checked on; `facts` become its metadata. Raises
    `ModelError` where a package is missing, or the scores differ by more than `AGREEMENT`.
    """
    onnx = _import_onnx()
    try:
        return _exported_bytes(onnx, head, head, embeddings, facts)
    except ModelError:
        if not (rewritten := _with_float64_end(head)):
            raise
        return _exported_bytes(onnx, rewritten, head, embeddings, facts)


def _exported_bytes(
    onnx: Any,
    module: nn.Module,
    head: AnyHead,
    embeddings: NDArray[np.floating],
    facts: Mapping[str, str],
) -> bytes:
    """Return `module` as ONNX, its scores compared with those of `head`."""
    model = _onnx_program(module, head.features)
    for kind in (model.graph.node, model.graph.value_info, model.graph.input, model.graph.output):
        for part in kind:
            for trace in _TRACE_FIELDS:
                part.ClearField(trace)
    onnx.helper.set_model_props(model, dict(facts))
    data: bytes = model.SerializeToString()
    check_onnx(data, head, embeddings)
    return data


def check_onnx(model: bytes, head: AnyHead, embeddings: NDArray[np.floating]) -> None:
    """Raise `ModelError` where scores of `model` and `head` differ on `embeddings` (n, width).

    The head is computed in float64.
    """
    import onnxruntime  # an optional package, see `_import_onnx`

    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (outputs,) = session.run([OUTPUT], {INPUT: vectors})
    with torch.inference_mode():
        expected = copy.deepcopy(head).double()(torch.from_numpy(vectors).double())
    difference = np.abs(outputs - expected.numpy())  # (n, 1)
    if not (difference <= AGREEMENT).all():  # NaN, too
        raise ModelError(
            f"The ONNX model differs from the head by up to {difference.max():.2g}, more than "
            f"{AGREEMENT:g}, so it was not written; update onnxscript and onnxruntime, or export "
            "the pair of files: labeler export model OUT"
        )


def _import_onnx() -> Any:
    """Return the module onnx; raises `ModelError` unless all packages are installed."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "ONNX needs some more packages; install them: pip install 'taste-labeler[onnx]'"
        ) from error
    return onnx


def _onnx_program(module: nn.Module, width: int) -> Any:
    """Return the ONNX model with its weights inside."""
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


def _with_float64_end(head: AnyHead) -> nn.Module | None:
    """Return a copy of `head` whose last layers are in float64; `None` for another kind."""
    copied = copy.deepcopy(head)
    body = copied if isinstance(copied, Head) else copied.body
    if not isinstance(body, Head):
        return None
    layers = list(body.down)
    body.down = nn.Sequential(*layers[:4], _Float64(nn.Sequential(*layers[4:])))
    return copied
