"""Protects the ONNX file: it says what the head says, for any number of rows, tells what it reads,
and nothing of the machine that it was made on; one that says something else is never handed out.
"""

from __future__ import annotations

import copy
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import ModelError
from model.estimators.ordinal import Ordinal
from model.heads.head import Head
from model.heads.onnx_export import AGREEMENT, INPUT, OUTPUT, check_onnx, head_to_onnx
from model.heads.published_heads import AnyHead, LinearChain, PublishedHead
from model.training.ordinal_to_head import ordinal_to_head

pytestmark = pytest.mark.skipif(find_spec("onnxscript") is None, reason="onnxscript is missing")
WIDTH = 12
FACTS = {"name": "taste", "version": "v1.0", "encoder": "lite"}


def some_embeddings(rows: int = 256) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 2, (rows, WIDTH)).astype(np.float32)


def own_head(seed: int = 0) -> Head:
    torch.manual_seed(seed)
    head = Head(WIDTH, 16).eval()
    head.down[5].weight.data *= 40  # spread over the whole range
    return head


def published_head() -> PublishedHead:
    torch.manual_seed(1)
    chain = LinearChain([WIDTH, 6, 1], has_relu=True)
    return PublishedHead(chain, normalise=True, scale=(-0.2, 0.3)).eval()


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[AnyHead, bytes]]:
    heads: dict[str, AnyHead] = {"own": own_head(), "foreign": published_head()}
    return {
        name: (head, head_to_onnx(head, some_embeddings(), FACTS)) for name, head in heads.items()
    }


@pytest.mark.parametrize("kind", ["own", "foreign"])
@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_it_says_what_the_head_says_for_any_number_of_rows(made, kind: str, rows: int) -> None:
    import onnxruntime

    head, data = made[kind]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = some_embeddings(rows)
    (said,) = session.run([OUTPUT], {INPUT: x})
    expected = head(torch.from_numpy(x)).detach().numpy()
    assert said.shape == expected.shape == (rows, 1)
    np.testing.assert_allclose(said, expected, atol=AGREEMENT)
    if rows > 3:
        assert expected.std() > 0.1


def double_layers(data: bytes) -> bool:
    import onnx

    held = onnx.load_from_string(data).graph.initializer
    return any(each.data_type == onnx.TensorProto.DOUBLE for each in held)


def test_a_regression_written_into_a_head_computes_in_float32_alone() -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(5, 1, (400, 48)).astype(np.float32)
    weights = draw.normal(0, 6 / np.sqrt(48), (48, 10))
    head = ordinal_to_head(Ordinal(weights, np.linspace(3, -3, 10) - 5 * weights.sum(axis=0)), 0.5)
    assert not double_layers(head_to_onnx(head, x, {}))


def test_a_head_that_cancels_large_numbers_has_its_last_layers_in_float64() -> None:
    """As the quick recipe wrote them before: versions of old projects are exported still."""
    head, x = own_head(), some_embeddings()
    bent, last = head.down[1], head.down[4]
    bent.weight.data[1] = bent.weight.data[0]
    bent.bias.data[:2] = torch.tensor([3000.0, 3000.5])
    last.weight.data[:, :2] = 0
    last.weight.data[0, :2] = torch.tensor([30.0, -30.0])
    last.bias.data[0] = 15.0
    head.down[5].weight.data[0, 0] = 1.0
    exact = copy.deepcopy(head).double()(torch.from_numpy(x).double()).detach().numpy()
    assert np.abs(head(torch.from_numpy(x)).detach().numpy() - exact).max() > AGREEMENT
    assert double_layers(head_to_onnx(head, x, {}))


def test_it_tells_what_it_is(made) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(made["own"][1], providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == FACTS


def test_nothing_in_it_tells_of_this_machine(made) -> None:
    for _, data in made.values():
        for trace in (b"self.", b".py", str(Path(__file__).parents[3]).encode()):
            assert trace not in data


def test_a_file_that_says_something_else_is_refused(made) -> None:
    _, data = made["own"]
    with pytest.raises(ModelError, match="was not written"):
        check_onnx(data, own_head(seed=7), some_embeddings())
    broken = own_head()
    broken.down[5].bias.data += torch.nan
    with pytest.raises(ModelError, match="was not written"):
        check_onnx(data, broken, some_embeddings())


def test_making_it_prints_nothing(capfd) -> None:
    head_to_onnx(published_head(), some_embeddings(), {})
    told = capfd.readouterr()
    assert told.out == told.err == ""


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=r"taste-labeler\[onnx\]"):
        head_to_onnx(own_head(), some_embeddings(), {})
