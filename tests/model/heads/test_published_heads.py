"""Protects other people's heads: their files are told apart by what is in them, say here what they
say in their authors' programs, and nothing in them is ever run.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model.errors import ModelError
from model.heads.head import Head
from model.heads.head_files import config_path, load_head, save_head
from model.heads.inference import AGREEMENT, BatchPredictor
from model.heads.published_files import read_published
from model.heads.published_heads import LinearChain, PublishedHead, empty_published_head
from model.heads.simplify import multiplications, simplified
from tests.support import published

CPU = torch.device("cpu")
MAKERS = {
    "LAION improved-aesthetic-predictor": (published.laion, 768, "clip-l14"),
    "LAION improved-aesthetic-predictor with ReLU": (published.laion_relu, 768, "clip-l14"),
    "LAION aesthetic-predictor": (published.linear, 768, "clip-l14"),
    "aesthetic-predictor-v2.5": (
        published.siglip,
        1152,
        "open_clip:ViT-SO400M-14-SigLIP-384/webli",
    ),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_published_head_says_what_it_says_in_its_own_program(
    tmp_path: Path, kind: str, ending: str
) -> None:
    make, width, encoder = MAKERS[kind]
    module, path = published.drawn(make()), tmp_path / f"any name.{ending}"
    if ending == "pth":
        published.save(module, path)
    else:
        save_file(dict(module.state_dict()), path)
    found = read_published(path)
    assert (found.kind, found.encoder, found.features) == (kind, encoder, width)
    x = published.embeddings(width=width)
    truth = published.said_of_unit(module, x)
    assert truth.std() > 0.5
    expected = np.clip((truth - 1) / 9, 0, 1)
    assert 0 < (expected > 0.5).sum() < len(x)
    save_head(tmp_path / "kept", found.head(), name="x", rev="1")
    for head in (found.head(), load_head(tmp_path / "kept", width).head):
        np.testing.assert_allclose(BatchPredictor(head, CPU)(x), expected, atol=1e-5)
        np.testing.assert_allclose(BatchPredictor(head, CPU).tuned(x)(x), expected, atol=AGREEMENT)


def test_the_length_of_an_embedding_changes_nothing(tmp_path: Path) -> None:
    path = published.save(published.drawn(published.laion()), tmp_path / "head.pth")
    scorer, x = BatchPredictor(read_published(path).head(), CPU), published.embeddings()
    assert scorer.normalises
    np.testing.assert_allclose(scorer(3 * x), scorer(x), atol=1e-6)
    assert np.isfinite(scorer(np.zeros((1, 768), dtype=np.float32))).all()


def test_its_own_scale_becomes_0_to_1_and_what_is_outside_is_cut_off(tmp_path: Path) -> None:
    module = published.drawn(published.linear(), spread=6)
    path = published.save(module, tmp_path / "head.pth")
    x = published.embeddings()
    truth, found = published.said_of_unit(module, x), read_published(path)
    assert truth.min() < 1
    assert truth.max() > 10
    for scale in ((1.0, 10.0), (0.0, 10.0), (4.0, 7.0)):
        low, high = scale
        expected = np.clip((truth - low) / (high - low), 0, 1)
        np.testing.assert_allclose(BatchPredictor(found.head(scale), CPU)(x), expected, atol=1e-5)
    assert found.scale == (1, 10)
    for wrong in ((10.0, 1.0), (5.0, 5.0), (0.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(ModelError, match="is no scale"):
            found.head(wrong)


@pytest.mark.parametrize("config", [True, False])
def test_a_score_of_cityaesthetics_reads_raw_embeddings_and_stays_what_it_is(
    tmp_path: Path, config: bool
) -> None:
    module = published.drawn(published.City(), spread=2, centre=0)
    path = published.save_city(module, tmp_path / "CityAesthetics-v1.8", config=config)
    found, x = read_published(path), published.embeddings()
    assert (found.kind, found.encoder) == ("CityAesthetics", "clip-l14-336")
    head = found.head()
    assert isinstance(head, Head)
    with torch.inference_mode():
        truth = module(torch.from_numpy(x)).numpy()[:, 0]
    np.testing.assert_allclose(BatchPredictor(head, CPU)(x), truth, atol=1e-5)
    stretched = BatchPredictor(found.head((0.25, 0.75)), CPU)
    np.testing.assert_allclose(stretched(x), np.clip(2 * truth - 0.5, 0, 1), atol=1e-5)
    save_head(tmp_path / "kept", found.head((0.25, 0.75)), name="x", rev="1")
    again = BatchPredictor(load_head(tmp_path / "kept").head, CPU)
    np.testing.assert_allclose(again(x), stretched(x), atol=1e-6)


def test_of_classes_one_is_chosen_as_the_score(tmp_path: Path) -> None:
    labels = [f"kind {k}" for k in range(12)]  # "10" must not come before "2"
    module = published.drawn(published.City(outputs=12))
    path = published.save_city(module, tmp_path / "classes", labels)
    found, x = read_published(path), published.embeddings()
    with torch.inference_mode():
        shares = module(torch.from_numpy(x)).numpy()
    head = found.head(label="kind 10")
    np.testing.assert_allclose(BatchPredictor(head, CPU)(x), shares[:, 10], atol=1e-5)
    with pytest.raises(ModelError, match="--label: kind 0, kind 1"):
        found.head()
    with pytest.raises(ModelError, match="no class photo; its classes are kind 0"):
        found.head(label="photo")
    unnamed = published.save_city(module, tmp_path / "unnamed", config=False)
    np.testing.assert_allclose(
        BatchPredictor(read_published(unnamed).head(label="10"), CPU)(x), shares[:, 10], atol=1e-5
    )


def test_a_score_has_no_classes_to_choose_from(tmp_path: Path) -> None:
    path = published.save(published.linear(), tmp_path / "head.pth")
    with pytest.raises(ModelError, match="leave --label out"):
        read_published(path).head(label="photo")


def test_what_was_kept_here_can_be_read_as_published_again(tmp_path: Path) -> None:
    module, x = published.drawn(published.laion_relu()), published.embeddings()
    head = read_published(published.save(module, tmp_path / "head.pth")).head((2, 8))
    told = {"encoder": "clip-l14"}
    save_head(tmp_path / "kept", head, name="ReLU", rev="1", metadata=told)
    again = read_published(tmp_path / "kept.safetensors")
    assert (again.kind, again.encoder, again.scale) == ("ReLU", "clip-l14", (2, 8))
    np.testing.assert_array_equal(
        BatchPredictor(again.head(), CPU)(x), BatchPredictor(head, CPU)(x)
    )


def test_an_encoder_that_the_file_does_not_imply_is_not_guessed(tmp_path: Path) -> None:
    path = published.save(published.linear(512), tmp_path / "sa_0_4_vit_b_32_linear.pth")
    assert read_published(path).encoder is None


def test_layers_with_nothing_between_them_become_one() -> None:
    module = LinearChain((768, 1024, 128, 1), has_relu=False)
    head = PublishedHead(module, normalise=True, scale=(1, 10))
    assert multiplications(simplified(head)) == 768
    bent = PublishedHead(
        LinearChain((768, 1024, 128, 1), has_relu=True), normalise=True, scale=(1, 10)
    )
    assert multiplications(simplified(bent)) == multiplications(bent)


class Trap:
    """Unpickled by a careless reader it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    state = dict(published.linear().state_dict())
    torch.save({**state, "extra": Trap(sprung)}, tmp_path / "trap.pth")
    torch.save(published.laion(), tmp_path / "module.pth")
    for name in ("trap.pth", "module.pth"):
        with pytest.raises(ModelError, match="was not opened, since that could run code"):
            read_published(tmp_path / name)
    assert not sprung.exists()


def test_files_that_are_no_head_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not there"):
        read_published(tmp_path / "nothing.pth")
    with pytest.raises(ModelError, match="is a folder"):
        read_published(tmp_path)
    (tmp_path / "cut.pth").write_bytes(
        published.save(published.linear(), tmp_path / "whole.pth").read_bytes()[:500]
    )
    with pytest.raises(ModelError, match="not a whole checkpoint"):
        read_published(tmp_path / "cut.pth")
    weights = {"layers.0.weight": torch.ones(4, 8), "layers.0.bias": torch.ones(4)}
    for wrong in (
        {"anything": torch.ones(3)},
        weights,
        {"weight": torch.ones(1, 8), "bias": torch.ones(2)},
        {"weight": torch.ones(2, 8), "bias": torch.ones(2)},
        {"weight": torch.ones(8), "bias": torch.ones(1)},
        {**published.linear().state_dict(), "more": torch.ones(1)},
    ):
        torch.save(wrong, tmp_path / "wrong.pth")
        with pytest.raises(ModelError, match="no head that is known here"):
            read_published(tmp_path / "wrong.pth")


@pytest.mark.parametrize(
    "weight",
    [
        torch.full((1, 8), float("nan")),
        torch.ones(1, 8, dtype=torch.int64),
        torch.ones(1, 8).to_sparse(),
        torch.ones(1).expand(1, 1 << 40),
    ],
    ids=["not finite", "whole numbers", "sparse", "far too large"],
)
def test_weights_that_no_head_has_are_refused(tmp_path: Path, weight: torch.Tensor) -> None:
    torch.save({"weight": weight, "bias": torch.ones(1)}, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match=r"weights of a head in weight|more (weights )?than"):
        read_published(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    "change",
    [
        {"scale": [10, 1]},
        {"scale": [0, float("inf")]},
        {"scale": "1:10"},
        {"column": 1},
        {"column": True},
        {"normalise": "yes"},
        {"body": None},
        {"body": {"widths": [768, 0, 1], "bends": False}},
        {"body": {"widths": [768], "bends": False}},
        {"body": {"widths": [1] * 1000, "bends": False}},
        {"body": {"widths": [768, 1], "bends": 0}},
        {"body": {"features": 768, "hidden": 1 << 40, "outputs": 1}},
    ],
)
def test_a_config_that_is_wrong_is_refused_with_a_sentence(
    tmp_path: Path, change: dict[str, object]
) -> None:
    head = PublishedHead(LinearChain((768, 4, 1), has_relu=True), normalise=True, scale=(1, 10))
    assert isinstance(empty_published_head(head.params).body, LinearChain)
    save_head(tmp_path / "kept", head, name="x", rev="1")
    path = config_path(tmp_path / "kept")
    config = json.loads(path.read_text())
    config["model_params"] |= change
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="get the file again"):
        load_head(tmp_path / "kept")


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path: Path) -> None:
    head = PublishedHead(LinearChain((768, 4, 1), has_relu=True), normalise=True, scale=(1, 10))
    save_head(tmp_path / "kept", head, name="x", rev="1")
    save_file(dict(nn.Linear(768, 1).state_dict()), tmp_path / "kept.safetensors")
    with pytest.raises(ModelError, match="not a head"):
        load_head(tmp_path / "kept")


@pytest.mark.parametrize("behind", [False, True])
def test_batch_norms_are_folded_into_the_layers_beside_them(tmp_path: Path, behind: bool) -> None:
    module = published.lived(published.drawn(published.waifu(behind=behind)))
    found = read_published(published.save(module, tmp_path / "waifu.pth"))
    assert (found.kind, found.encoder, found.features) == ("waifu-scorer", "clip-l14", 768)
    with pytest.raises(ModelError, match="--scale"):
        found.head()
    x = published.embeddings()
    truth = published.said_of_unit(module, x)
    low, high = float(truth.min()), float(truth.max())
    assert high - low > 0.5
    save_head(tmp_path / "kept", found.head((low, high)), name="x", rev="1")
    expected = (truth - low) / (high - low)
    for head in (found.head((low, high)), load_head(tmp_path / "kept", 768).head):
        np.testing.assert_allclose(BatchPredictor(head, CPU)(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    "prefix", ["", "model.", "module.net.", "state_dict"], ids=lambda prefix: prefix or "bare"
)
@pytest.mark.parametrize("kind", ["laion", "laion_relu", "siglip", "waifu", "predictor"])
def test_a_head_is_cut_out_of_a_whole_checkpoint(tmp_path: Path, prefix: str, kind: str) -> None:
    """As simple-aesthetics-predictor keeps LAION's layers beside a vision tower."""
    if kind == "predictor":
        module: nn.Module = published.drawn(published.linear())
        head = {f"predictor.{name}": value for name, value in module.state_dict().items()}
    else:
        module = published.drawn(getattr(published, kind)())
        head = dict(module.state_dict())
    tower = {
        "vision_model.encoder.layers.0.mlp.fc1.weight": torch.ones(8, 4),
        "vision_model.embeddings.patch_embedding.weight": torch.ones(4, 3, 2, 2),
        "vision_model.embeddings.position_ids": torch.arange(5),
        "visual_projection.weight": torch.ones(4, 4),
    }
    inside = "" if prefix == "state_dict" else prefix
    whole = {f"{inside}{name}": value for name, value in {**tower, **head}.items()}
    torch.save({"state_dict": whole} if prefix == "state_dict" else whole, tmp_path / "a.pth")
    found = read_published(tmp_path / "a.pth")
    assert found.kind.endswith(", cut out of a checkpoint")
    x = published.embeddings(width=found.features)
    expected = np.clip((published.said_of_unit(module, x) - 1) / 9, 0, 1)
    np.testing.assert_allclose(BatchPredictor(found.head((1, 10)), CPU)(x), expected, atol=1e-5)


def test_what_is_no_plain_head_is_told_as_what_it_is(tmp_path: Path) -> None:
    two = {**published.laion().state_dict()}
    both = {f"{place}.{name}": value for place in ("ema", "model") for name, value in two.items()}
    normed = nn.Sequential(nn.Linear(768, 8), nn.LayerNorm(8), nn.Linear(8, 1))
    lonely = nn.Sequential(nn.BatchNorm1d(768), nn.Linear(768, 8), nn.Linear(8, 1))
    convolved = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 1))
    for held, reason in (
        (both, r"several heads \(ema.layers.0, model.layers.0\)"),
        (published.Holder("layers", normed).state_dict(), "LayerNorm"),
        (published.Holder("layers", lonely).state_dict(), "BatchNorm layers that can't be folded"),
        (convolved.state_dict(), "a whole network"),
    ):
        torch.save(dict(held), tmp_path / "a.pth")
        with pytest.raises(ModelError, match=reason):
            read_published(tmp_path / "a.pth")
