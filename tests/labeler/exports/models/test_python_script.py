"""Protects the script that scores images without this program: it says what `labeler predict` says,
of every sort of picture, and holds the head, the encoder and its pictures' way as they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import db.images.embeddings
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.embedding.embed import prepare_file, register
from labeler.exports.models import score
from labeler.exports.models.export import export_as
from labeler.prediction.predict_files import predict_paths
from model.encoders.load import load_encoder
from model.encoders.preprocessing import TORCH_RESIZE_ON, ResizeCrop
from model.heads.head import Head, predict
from model.heads.head_files import save_head
from model.heads.published_heads import LinearChain, PublishedHead
from tests.support.heads import add_version_of, spread_head
from tests.support.pictures import make_halves, make_jpeg, noise_image, with_orientation

CLOSE = 0.005
FRAMING: dict[str, Any] = {
    "size": 32,
    "resize": "shortest",
    "interpolation": "bicubic",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
}
# Runs the script as anybody would, where this program can't be imported.
ALONE = (
    "import runpy, sys; sys.modules.update(labeler=None, model=None, db=None); sys.argv.pop(0); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def make_pictures(folder: Path) -> list[Path]:
    """One of each sort: large, turned, transparent, grey, deep, long, with a palette."""
    folder.mkdir()
    files = [
        make_jpeg(folder / "plain.jpg", 1, (300, 220)),
        make_jpeg(folder / "large é.jpg", 2, (2600, 2000)),
        make_jpeg(folder / "turned.jpg", 3, (200, 300), exif=with_orientation(6)),
        make_halves(folder / "halves.webp"),
    ]
    clear = noise_image(4, (120, 90)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    deep = np.linspace(0, 65535, 200 * 100).reshape(100, 200).astype(np.uint16)
    for name, image in (
        ("clear.png", clear),
        ("palette.png", noise_image(5).quantize(16)),
        ("grey.png", noise_image(6).convert("L")),
        ("deep.png", Image.fromarray(deep)),
        ("long.png", noise_image(7, (900, 20))),
    ):
        image.save(folder / name)
        files.append(folder / name)
    return files


def run_alone(script: Path, *words: object) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-P", "-c", ALONE, str(script), *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        env=env | {"PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"},
        cwd=script.parent,
        check=False,
        timeout=100,
    )


def scored(done: subprocess.CompletedProcess[str]) -> dict[str, float]:
    """Path → score from what the script printed."""
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return {path: float(score) for score, _, path in lines}


# Our own encoders in float32, as the script computes: what bfloat16 changes is promised elsewhere.
def project_of(folder: Path, encoder: Any, files: list[Path]) -> Project:
    """A project whose version tells these files apart."""
    project = Project.create(folder / 'ta"""ste', encoder=encoder.identity)
    vectors = encoder.encode(np.stack([prepare_file(encoder, file) for file in files]))
    add_version_of(project, spread_head(vectors), register(project, encoder))
    return project


def agrees_with_predict(
    project: Project, encoder: Any, files: list[Path], done: subprocess.CompletedProcess[str]
) -> None:
    assert done.returncode == 0, done.stderr
    said = scored(done)
    expected = predict_paths(project, files, encoder=encoder)
    assert not expected.unreadable
    assert said.keys() == {image.path for image in expected.images}
    for image in expected.images:
        assert said[image.path] == pytest.approx(image.prediction, abs=CLOSE)
    assert np.std(list(said.values())) > 0.05


def test_the_script_says_what_predict_says_with_lite(tmp_path: Path) -> None:
    files, encoder = make_pictures(tmp_path / "pictures"), load_encoder("lite", precision="float32")
    project = project_of(tmp_path, encoder, files)
    out = tmp_path / "out" / "score images.py"
    written = export_as(project, "python", out)
    assert [file.name for file in written] == [
        "score images.py",
        "score images.config.json",
        "score images.safetensors",
    ]
    assert out.read_bytes() == Path(score.__file__).read_bytes()
    agrees_with_predict(project, encoder, files, run_alone(out, *files))
    for other in (tmp_path / "pictures" / "notes.txt", tmp_path / "text.jpg"):
        other.write_text("no picture")
    agrees_with_predict(project, encoder, files, run_alone(out, tmp_path / "pictures"))
    done = run_alone(out, tmp_path / "text.jpg", files[0], "--min", "0")
    assert done.returncode == 1
    assert "text.jpg" in done.stderr
    assert list(scored(done)) == [str(files[0])]


def test_the_script_says_what_predict_says_with_a_checkpoint(tmp_path: Path) -> None:
    from model.encoders import torchvision_import  # noqa: F401, I001  (before open_clip)
    import open_clip

    torch.manual_seed(3)
    network = open_clip.create_model("ViT-S-32-alt").state_dict()
    checkpoint = tmp_path / "weights.pt"
    torch.save({k: v for k, v in network.items() if k.startswith("visual.")}, checkpoint)
    encoder = load_encoder(f"open_clip:ViT-S-32-alt/{checkpoint}", precision="float32")
    files = make_pictures(tmp_path / "pictures")
    project = project_of(tmp_path, encoder, files)
    out = tmp_path / "out.py"
    export_as(project, "python", out)
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    done = run_alone(out, *files, "--checkpoint", checkpoint)
    agrees_with_predict(project, encoder, files, done)
    assert done.stderr == ""


def head_of(folder: Path, head: Any) -> Any:
    """What the script makes of the files of `head`."""
    config, weights = save_head(folder / "example.safetensors", head, name="x", rev="v1.0")
    return score.load_head(json.loads(config.read_text(encoding="utf-8")), weights)


def heads() -> dict[str, Any]:
    torch.manual_seed(2)
    wide = Head(12, 16, 3)
    wide.down[5].weight.data *= 30
    return {
        "own": Head(12, 16),
        "classes": PublishedHead(wide, normalise=False, scale=(0.0, 1.0), column=2),
        "bent": PublishedHead(
            LinearChain([12, 6, 1], has_relu=True), normalise=True, scale=(-0.3, 0.3)
        ),
        "straight": PublishedHead(
            LinearChain([12, 5, 1], has_relu=False), normalise=False, scale=(-2, 2)
        ),
    }


@pytest.mark.parametrize("kind", heads())
def test_its_head_says_what_ours_says(tmp_path: Path, kind: str) -> None:
    head = heads()[kind].eval().requires_grad_(False)
    x = np.random.default_rng(1).normal(0, 2, (50, 12)).astype(np.float32)
    said = head_of(tmp_path, head)(torch.from_numpy(x)).detach().numpy()
    assert said.shape == (50, 1)
    np.testing.assert_allclose(said[:, 0], predict(head, x), atol=1e-6)
    assert said.std() > 0.001


@pytest.mark.parametrize("resize", ["shortest", "squash"])
def test_its_pixels_are_those_that_our_encoders_see(tmp_path: Path, resize: str) -> None:
    # Where torch can't resize bytes quickly our encoders leave it to Pillow: rounded otherwise.
    quick = torch.backends.cpu.get_cpu_capability() in TORCH_RESIZE_ON
    seen = FRAMING | {"resize": resize}
    framing = ResizeCrop(**(seen | {"mean": tuple(seen["mean"]), "std": tuple(seen["std"])}))
    for file in make_pictures(tmp_path / "pictures"):
        if resize == "squash" and file.name == "long.png":
            continue  # ours leaves strips to Pillow; this one squeezes them like all others
        picture = score.open_picture(file, seen["size"])
        mean, std = (np.array(seen[key]).reshape(3, 1, 1) for key in ("mean", "std"))
        expected = (framing.apply(picture) / 255 - mean) / std
        np.testing.assert_allclose(
            score.pixels(file, seen)[0].numpy(), expected, atol=1e-5 if quick else 0.04
        )


def test_a_published_encoder_is_asked_for_by_its_tag(monkeypatch) -> None:
    asked: list[Any] = []

    def create_model(*words: Any, **more: Any) -> Any:
        asked.append((*words, more))
        return torch.nn.Identity()

    about = {
        "encoder": "open_clip:ViT-L-14-quickgelu/openai/normalised",
        "normalised": True,
        "preprocessing": FRAMING | {"quick_gelu": True},
    }
    monkeypatch.setitem(sys.modules, "open_clip", SimpleNamespace(create_model=create_model))
    monkeypatch.setattr(score, "import_torchvision", lambda: None)
    assert isinstance(score.load_encoder(about, None), score.Unit)
    assert asked == [("ViT-L-14-quickgelu", "openai", {"force_quick_gelu": True})]


def test_without_a_version_or_a_known_way_of_pictures_nothing_is_written(tmp_path: Path) -> None:
    with closing(Project.create(tmp_path / "taste", encoder="lite")) as project:
        with pytest.raises(BadInput, match="labeler train"):
            export_as(project, "python", tmp_path / "out")
        record = db.images.embeddings.register_encoder(
            project.store, "lite", 12, False, {"size": 224}
        )
        add_version_of(project, Head(12, 16), record)
        with pytest.raises(BadInput, match="labeler embed"):
            export_as(project, "python", tmp_path / "out")
    assert not (tmp_path / "out").exists()
