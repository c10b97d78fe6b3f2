"""Protects what CLIP embeddings mean: the checkpoint's own weights, activation and scaling, or a
clear refusal; and that no checkpoint runs code.

A random, normalised or wrongly activated embedding looks like any other, so each is held against
open_clip's own computation. The checkpoints are small models made here.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from model.encoders.load import load_encoder
from model.encoders.precision import lowest_cosine
from model.errors import ModelError
from tests.support.scenes import pictures, prepared

ARCHITECTURE = "ViT-S-32-alt"  # the smallest that open_clip knows


@pytest.fixture(scope="module")
def networks() -> dict[bool, torch.nn.Module]:
    """The same random weights in open_clip's own model, without and with QuickGELU."""
    from model.encoders import torchvision_import  # noqa: F401, I001  (before open_clip)
    import open_clip

    torch.manual_seed(3)
    plain = open_clip.create_model(ARCHITECTURE)
    quick = open_clip.create_model(ARCHITECTURE, force_quick_gelu=True)
    quick.load_state_dict(plain.state_dict())
    return {False: plain.eval(), True: quick.eval()}


def image_tower(networks) -> dict[str, torch.Tensor]:
    held = networks[False].state_dict()
    return {name: tensor for name, tensor in held.items() if name.startswith("visual.")}


@pytest.fixture(scope="module")
def checkpoint(networks, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "weights.pt"
    torch.save(image_tower(networks), path)
    return path


def load_local(path: Path, precision="float32", architecture=ARCHITECTURE):
    return load_encoder(f"open_clip:{architecture}/{path}", precision=precision)


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return load_local(checkpoint)


def reference(network) -> np.ndarray:
    """Embeddings by open_clip's own transform and `encode_image`."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform = image_transform_v2(PreprocessCfg(**network.visual.preprocess_cfg), is_train=False)
    with torch.inference_mode():
        pixels = torch.stack([transform(image) for image in pictures()])
        return network.encode_image(pixels, normalize=False).numpy()


class TestLocalCheckpoint:
    def test_agrees_with_open_clips_own_transform_and_embedding(self, networks, encoder):
        expected = reference(networks[False])
        found = encoder.encode(prepared(encoder))
        assert found.shape == (len(pictures()), encoder.width) == expected.shape
        assert lowest_cosine(found, expected) >= 0.9999
        np.testing.assert_allclose(
            np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1), rtol=0.01
        )

    def test_its_quick_form_agrees_too(self, networks, checkpoint):
        encoder = load_local(checkpoint, precision="bfloat16")
        assert lowest_cosine(encoder.encode(prepared(encoder)), reference(networks[False])) >= 0.999

    def test_the_network_may_have_been_wrapped_and_saved_in_training(
        self, networks, encoder, tmp_path
    ):
        path = tmp_path / "epoch_3.pt"
        wrapped = {f"module.{name}": tensor for name, tensor in image_tower(networks).items()}
        torch.save({"epoch": 3, "state_dict": wrapped}, path)
        two = prepared(encoder)[:2]
        np.testing.assert_array_equal(load_local(path).encode(two), encoder.encode(two))

    def test_safetensors_are_known_by_content_not_by_suffix(self, networks, encoder, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "5f2c01"  # as download caches name them
        save_file(image_tower(networks), path)
        two = prepared(encoder)[:2]
        np.testing.assert_array_equal(load_local(path).encode(two), encoder.encode(two))

    def test_another_file_under_the_same_name_shows(self, networks, tmp_path):
        path = tmp_path / "weights.pt"
        torch.save(image_tower(networks), path)
        before = load_local(path)
        changed = image_tower(networks) | {"visual.proj": networks[False].visual.proj * 2}
        torch.save(changed, path)
        after = load_local(path)
        assert before.identity == after.identity
        assert before.preprocessing != after.preprocessing

    def test_the_config_beside_a_checkpoint_decides_scaling_and_activation(
        self, networks, tmp_path
    ):
        path = tmp_path / "open_clip_model.bin"
        torch.save(image_tower(networks), path)
        scaling = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash"}
        config = {"model_cfg": {"quick_gelu": True}, "preprocess_cfg": scaling}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        encoder = load_local(path)
        assert encoder.preprocessing["mean"] == [0.5, 0.5, 0.5]
        assert encoder.preprocessing["resize"] == "squash"
        networks[True].visual.preprocess_cfg.update(scaling)
        assert lowest_cosine(encoder.encode(prepared(encoder)), reference(networks[True])) >= 0.9999

    def test_a_quickgelu_name_for_weights_without_it_is_refused(self, networks, tmp_path):
        path = tmp_path / "model.bin"
        torch.save(image_tower(networks), path)
        (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {}, "preprocess_cfg": {}}')
        with pytest.raises(ModelError, match=f"use open_clip:ViT-B-32/{path}"):
            load_local(path, architecture="ViT-B-32-quickgelu")

    def test_a_published_checkpoint_is_known_by_its_path(self, tmp_path):
        """RN50's yfcc15m weights need QuickGELU, though neither name nor config says so here."""
        from model.encoders import torchvision_import  # noqa: F401, I001  (before open_clip)
        import open_clip

        folder = tmp_path / "models--timm--resnet50_clip.yfcc15m"
        folder.mkdir()
        torch.save(open_clip.create_model("RN50").state_dict(), folder / "open_clip_model.bin")
        encoder = load_local(folder / "open_clip_model.bin", architecture="RN50")
        assert encoder.preprocessing["quick_gelu"] is True


class Published(torch.nn.Module):
    """As OpenAI lays out its archives, in half precision, with its marks beside the weights."""

    def __init__(self, visual):
        super().__init__()
        self.visual = visual
        self.register_buffer("input_resolution", torch.tensor(224))

    def forward(self, pixels):
        return self.visual(pixels)


@pytest.fixture(scope="module")
def archive(networks, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "ViT-S.pt"
    network = Published(copy.deepcopy(networks[True].visual)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated and talkative
        traced = torch.jit.trace(network, torch.zeros(1, 3, 224, 224), check_trace=False)
        traced.half().save(str(path))
    return path


class TestOpenAIArchive:
    def test_gets_quickgelu_under_a_plain_name(self, networks, archive):
        encoder = load_local(archive)
        found = encoder.encode(prepared(encoder))
        networks[True].visual.preprocess_cfg.update(networks[False].visual.preprocess_cfg)
        assert encoder.preprocessing["quick_gelu"] is True
        # Random weights hardly tell the two apart by angle, so by distance, on the same pixels.
        framing = encoder.preprocessing
        mean, std = (np.array(framing[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
        pixels = torch.from_numpy((prepared(encoder) / 255 - mean) / std).float()
        with torch.inference_mode():
            with_it, without = (networks[quick].encode_image(pixels).numpy() for quick in (1, 0))
        assert np.abs(found - with_it).max() < 0.1 * np.abs(found - without).max()

    def test_is_read_without_running_what_it_asks_for(self, archive, tmp_path):
        trap, sprung = tmp_path / "trap.pt", tmp_path / "sprung"
        with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(trap, "w") as copy:
            for name in whole.namelist():
                evil = name.endswith("/data.pkl")
                copy.writestr(name, _pickled_call(sprung) if evil else whole.read(name))
        with pytest.raises(ModelError, match="could run code"):
            load_local(trap)
        assert not sprung.exists()


def _pickled_call(sprung: Path) -> bytes:
    """A pickle that makes the file `sprung` when it is loaded carelessly."""
    return f"cos\nmkdir\n(V{sprung}\ntR.".encode()


class TestRefusals:
    def refusal(self, path: Path, architecture=ARCHITECTURE) -> str:
        with pytest.raises(ModelError) as caught:
            load_local(path, architecture=architecture)
        return str(caught.value)

    def test_a_missing_file_and_a_folder(self, tmp_path):
        assert "is not there" in self.refusal(tmp_path / "gone.pt")
        assert "is a folder" in self.refusal(tmp_path)

    @pytest.mark.parametrize("keep", [0, 1000, -1000])
    def test_a_file_that_was_cut_short(self, checkpoint, tmp_path, keep):
        path = tmp_path / "cut.pt"
        path.write_bytes(checkpoint.read_bytes()[:keep])
        assert str(path) in self.refusal(path)

    def test_cut_safetensors(self, networks, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "cut.safetensors"
        save_file(image_tower(networks), path)
        path.write_bytes(path.read_bytes()[:-1000])
        assert "not a whole checkpoint" in self.refusal(path)

    def test_a_pickle_that_would_run_code(self, tmp_path):
        sprung = tmp_path / "sprung"
        path = tmp_path / "evil.pt"
        path.write_bytes(_pickled_call(sprung))
        self.refusal(path)
        assert not sprung.exists()

    def test_objects_beside_the_weights(self, networks, tmp_path):
        path = tmp_path / "objects.pt"
        torch.save(image_tower(networks) | {"made by": Path("somewhere")}, path)
        assert "more than weights" in self.refusal(path)

    def test_weights_of_another_architecture(self, checkpoint):
        assert "not those of a ViT-M-32-alt" in self.refusal(checkpoint, "ViT-M-32-alt")

    def test_a_single_missing_layer_is_not_left_random(self, networks, tmp_path):
        path = tmp_path / "incomplete.pt"
        weights = image_tower(networks)
        del weights["visual.ln_post.bias"]
        torch.save(weights, path)
        assert "not those of" in self.refusal(path)

    def test_a_position_table_of_another_size_is_not_stretched(self, networks, tmp_path):
        path = tmp_path / "larger.pt"
        table = torch.zeros(101, 384)
        torch.save(image_tower(networks) | {"visual.positional_embedding": table}, path)
        assert "not those of" in self.refusal(path)

    def test_no_image_encoder_in_it(self, tmp_path):
        path = tmp_path / "text.pt"
        torch.save({"text_model.weight": torch.zeros(2)}, path)
        assert "no image encoder" in self.refusal(path)

    def test_numbers_that_are_none(self, networks, tmp_path):
        path = tmp_path / "nan.pt"
        broken = torch.full_like(networks[False].visual.proj, float("nan"))
        torch.save(image_tower(networks) | {"visual.proj": broken}, path)
        assert "not every number is finite" in self.refusal(path)

    def test_an_unknown_tag_is_told_with_the_known_ones(self):
        with pytest.raises(ModelError, match=r"'laion9b' for ViT-B-32; it has openai"):
            load_encoder("open_clip:ViT-B-32/laion9b")

    def test_weights_that_cannot_be_downloaded_tell_the_ways_out(self, tmp_path):
        code = (
            "from model.encoders.load import load_encoder; from model.errors import ModelError\n"
            "try: load_encoder('clip-b32')\n"
            "except ModelError as error: print(error)"
        )
        offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=offline, capture_output=True, text=True, check=True
        )
        assert len(done.stdout.splitlines()) == 1
        for way in ("--encoder lite", "open_clip:ViT-B-32-quickgelu//PATH/TO/FILE", "HF_HOME"):
            assert way in done.stdout
