"""Protects the head and its files: published CityAesthetics files load and score here, ours load
there, and a file that is not a head is refused with a sentence, never run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from model.errors import ModelError
from model.heads.head import Head, predict
from model.heads.head_files import load_head, save_head

SHAPES = {
    "up.0": (1024, 768),
    "up.1.long.0": (1024, 1024),
    "up.1.long.2": (1024, 1024),
    "up.1.long.4": (1024, 1024),
    "down.0": (128, 1024),
    "down.1": (64, 128),
    "down.4": (32, 64),
    "down.5": (1, 32),
}


def published(folder: Path, *, outputs: int = 1, features: int = 12, hidden: int = 16) -> Path:
    """A pair of files as the other program writes them, weights drawn at random."""
    draw = np.random.default_rng(3)
    sizes = {1024: hidden, 768: features, 1: outputs}
    weights = {}
    for layer, (rows, columns) in SHAPES.items():
        shape = (sizes.get(rows, rows), sizes.get(columns, columns))
        weights[f"{layer}.weight"] = torch.from_numpy(draw.normal(0, 0.2, shape)).float()
        weights[f"{layer}.bias"] = torch.from_numpy(draw.normal(0, 0.2, shape[0])).float()
    stem = folder / "CityAesthetics-v1.8"
    save_file(weights, f"{stem}.safetensors")
    config = {
        "name": "CityAesthetics",
        "rev": "v1.8",
        "arch": "score" if outputs == 1 else "class",
        "labels": [] if outputs == 1 else ["flat", "shaded", "photo"],
        "model_params": {"features": features, "hidden": hidden, "outputs": outputs},
    }
    Path(f"{stem}.config.json").write_text(json.dumps(config), encoding="utf-8")
    return Path(f"{stem}.safetensors")


def by_hand(path: Path, x: np.ndarray) -> np.ndarray:
    """The network written out in numpy, up to its last layer's values (n, outputs)."""
    weights = {key: value.numpy().astype(np.float64) for key, value in load_file(path).items()}

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def leaky(x: np.ndarray, slope: float) -> np.ndarray:
        return np.where(x > 0, x, slope * x)

    x = layer("up.0", x)
    long = leaky(layer("up.1.long.0", x), 0.1)
    long = leaky(layer("up.1.long.2", long), 0.1)
    x = np.maximum(layer("up.1.long.4", long) + x, 0)
    x = leaky(layer("down.1", layer("down.0", x)), 0.01)
    return layer("down.5", layer("down.4", x))


def test_head_has_the_published_names_shapes_and_size() -> None:
    with torch.device("meta"):
        state = Head(768).state_dict()
    wanted = {f"{layer}.weight": shape for layer, shape in SHAPES.items()}
    wanted |= {f"{layer}.bias": shape[:1] for layer, shape in SHAPES.items()}
    assert {key: tuple(value.shape) for key, value in state.items()} == wanted
    assert sum(value.numel() for value in state.values()) == pytest.approx(4.08e6, rel=0.005)


def test_published_file_scores_as_the_formula_says(tmp_path: Path) -> None:
    path = published(tmp_path)
    x = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    loaded = load_head(path)
    assert loaded.config["rev"] == "v1.8"
    expected = (np.tanh(by_hand(path, x)[:, 0]) + 1) / 2
    np.testing.assert_allclose(predict(loaded.head, x), expected, atol=1e-5)


def test_published_classifier_gives_softmax_and_labels(tmp_path: Path) -> None:
    path = published(tmp_path, outputs=3)
    x = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    loaded = load_head(path)
    assert (loaded.arch, loaded.labels) == ("class", ["flat", "shaded", "photo"])
    raised = np.exp(by_hand(path, x))
    expected = raised / raised.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict(loaded.head, x), expected, atol=1e-5)


def test_saved_head_has_those_keys_and_nothing_else_and_comes_back(tmp_path: Path) -> None:
    head = Head(12, 16)
    told = {"encoder": "lite", "metrics": {"mae": 0.1}}
    written = save_head(tmp_path / "v1.0", head, name="mine", rev="v1.0", metadata=told)
    assert [file.name for file in written] == ["v1.0.config.json", "v1.0.safetensors"]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(f.name for f in written)
    with safe_open(written[1], framework="pt") as file:
        assert set(file.keys()) == {f"{k}.{part}" for k in SHAPES for part in ("weight", "bias")}
        assert json.loads(file.metadata()["encoder"]) == "lite"
    config = json.loads(written[0].read_text(encoding="utf-8"))
    assert config["model_params"] == {"features": 12, "hidden": 16, "outputs": 1}
    assert {"name", "rev", "arch", "labels", "model_params"} <= config.keys()
    loaded = load_head(tmp_path / "v1.0.config.json", features=12)
    assert loaded.metadata == told
    x = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    np.testing.assert_array_equal(predict(loaded.head, x), predict(head, x))


def test_a_version_name_with_dots_is_not_cut(tmp_path: Path) -> None:
    save_head(tmp_path / "v1.10", Head(4, 8), name="mine", rev="v1.10")
    assert load_head(tmp_path / "v1.10").config["rev"] == "v1.10"


def test_predicting_nothing_gives_nothing() -> None:
    assert predict(Head(4, 8), np.zeros((0, 4), dtype=np.float32)).shape == (0,)
    assert predict(Head(4, 8, 3), np.zeros((0, 4), dtype=np.float32)).shape == (0, 3)


def test_another_width_is_refused_with_both_widths(tmp_path: Path) -> None:
    path = published(tmp_path)
    with pytest.raises(ModelError, match="of 12 values, but these have 768"):
        load_head(path, features=768)


def rewritten(path: Path, changes: dict[str, Any]) -> None:
    config_file = path.with_name("CityAesthetics-v1.8.config.json")
    config = json.loads(config_file.read_text(encoding="utf-8")) | changes
    config_file.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"arch": "prompt"}, '"arch" must be'),
        ({"arch": "class"}, "class with 1 outputs"),
        ({"model_params": {"features": 12}}, "needs whole numbers"),
        ({"model_params": None}, "needs whole numbers"),
        ({"model_params": {"features": True, "hidden": 16, "outputs": 1}}, "needs whole numbers"),
        ({"model_params": {"features": 12, "hidden": 10**9, "outputs": 1}}, "needs whole numbers"),
        ({"model_params": {"features": 12, "hidden": 20, "outputs": 1}}, "does not fit its config"),
    ],
)
def test_a_wrong_config_is_named(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    path = published(tmp_path)
    rewritten(path, changes)
    with pytest.raises(ModelError, match=problem):
        load_head(path)


def test_files_that_are_not_heads_are_named(tmp_path: Path) -> None:
    path = published(tmp_path)
    weights = load_file(path)
    save_file(weights | {"extra": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="has an unknown extra"):
        load_head(path)
    del weights["down.5.bias"]
    save_file(weights, path)
    with pytest.raises(ModelError, match=r"lacks down\.5\.bias"):
        load_head(path)
    path.write_bytes(b"\x80\x04 not safetensors")
    with pytest.raises(ModelError, match="can't be read as safetensors"):
        load_head(path)
    path.unlink()
    with pytest.raises(ModelError, match="is missing"):
        load_head(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = published(tmp_path)
    weights = load_file(path)
    weights["down.1.bias"][0] = float("nan")
    save_file(weights, path)
    with pytest.raises(ModelError, match=r"not finite in down\.1\.bias"):
        load_head(path)


def test_a_missing_or_broken_config_is_named(tmp_path: Path) -> None:
    path = published(tmp_path)
    config = path.with_name("CityAesthetics-v1.8.config.json")
    config.write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="can't be read as JSON"):
        load_head(path)
    config.unlink()
    with pytest.raises(ModelError, match="put the config file beside"):
        load_head(path)
