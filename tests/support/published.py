"""Heads as others publish them: the modules of their own programs, with weights drawn at random,
saved as those programs save them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

WIDTH = 768


class Holder(nn.Module):
    """Gives the layers the name that they have in the file."""

    def __init__(self, name: str, layers: nn.Sequential) -> None:
        super().__init__()
        self.add_module(name, layers)
        self.layers_of = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return getattr(self, self.layers_of)(x)


def laion(width: int = WIDTH) -> nn.Module:
    """sac+logos+ava1-l14-linearMSE.pth: layers 0, 2, 4, 6, 7."""
    layers = nn.Sequential(
        nn.Linear(width, 1024),
        nn.Dropout(0.2),
        nn.Linear(1024, 128),
        nn.Dropout(0.2),
        nn.Linear(128, 64),
        nn.Dropout(0.1),
        nn.Linear(64, 16),
        nn.Linear(16, 1),
    )
    return Holder("layers", layers)


def laion_relu(width: int = WIDTH) -> nn.Module:
    """ava+logos-l14-reluMSE.pth: layers 0, 3, 6, 9, 11."""
    layers = nn.Sequential(
        nn.Linear(width, 1024),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(1024, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(64, 16),
        nn.ReLU(),
        nn.Linear(16, 1),
    )
    return Holder("layers", layers)


def siglip(width: int = 1152) -> nn.Module:
    """aesthetic_predictor_v2_5.pth: scoring_head 0, 2, 4, 6, 8."""
    layers = nn.Sequential(
        nn.Linear(width, 1024),
        nn.Dropout(0.5),
        nn.Linear(1024, 128),
        nn.Dropout(0.5),
        nn.Linear(128, 64),
        nn.Dropout(0.5),
        nn.Linear(64, 16),
        nn.Dropout(0.2),
        nn.Linear(16, 1),
    )
    return Holder("scoring_head", layers)


def waifu(width: int = WIDTH, behind: bool = False) -> nn.Module:
    """waifu-scorer: ReLU, then BatchNorm, then Dropout; `behind` the layer itself in others."""
    layers: list[nn.Module] = []
    for before, after in ((width, 256), (256, 128), (128, 64), (64, 32)):
        norm = nn.BatchNorm1d(after)
        inside = [norm, nn.ReLU()] if behind else [nn.ReLU(), norm]
        layers += [nn.Linear(before, after), *inside, nn.Dropout(0.2)]
    layers += [nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)]
    return Holder("layers", nn.Sequential(*layers))


def lived(module: nn.Module, seed: int = 3) -> nn.Module:
    """Its BatchNorms have seen something, each feature something else."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm1d) and norm.running_var is not None:
                size = norm.running_var.shape
                norm.running_mean.copy_(0.3 * torch.randn(size, generator=draw))
                norm.running_var.copy_(0.2 + torch.rand(size, generator=draw))
                norm.weight.copy_(0.5 + torch.rand(size, generator=draw))
                norm.bias.copy_(0.2 * torch.randn(size, generator=draw))
    return module.eval()


def linear(width: int = WIDTH) -> nn.Module:
    """sa_0_4_vit_l_14_linear.pth: weight and bias."""
    return nn.Linear(width, 1)


class Residual(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.long = nn.Sequential(
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.1),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.1),
            nn.Linear(hidden, hidden),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.long(x) + x)


class City(nn.Module):
    """CityAesthetics: a score, or with more outputs classes."""

    def __init__(self, width: int = WIDTH, hidden: int = 32, outputs: int = 1) -> None:
        super().__init__()
        self.sizes = {"features": width, "hidden": hidden, "outputs": outputs}
        self.up = nn.Sequential(nn.Linear(width, hidden), Residual(hidden))
        self.down = nn.Sequential(
            nn.Linear(hidden, 128),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.LeakyReLU(),
            nn.Linear(64, 32),
            nn.Linear(32, outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.down(self.up(x))
        return torch.softmax(x, dim=1) if x.shape[1] > 1 else (torch.tanh(x) + 1) / 2


def drawn(module: nn.Module, seed: int = 5, spread: float = 2.0, centre: float = 5.5) -> nn.Module:
    """Weights at random, so that what it says of random embeddings lies around `centre`."""
    unit = not isinstance(module, City)
    draw = torch.Generator().manual_seed(seed)
    layers = [each for each in module.modules() if isinstance(each, nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            size = spread if layer is layers[-1] else 1.4
            size /= 1 if unit and layer is layers[0] else layer.in_features**0.5
            layer.weight.copy_(size * torch.randn(layer.weight.shape, generator=draw))
            layer.bias.copy_(0.1 * torch.randn(layer.bias.shape, generator=draw))
        layers[-1].bias.fill_(centre)
        if unit:
            some = functional.normalize(torch.randn(256, layers[0].in_features, generator=draw))
            layers[-1].bias += centre - module.eval()(some).mean()
    return module.eval()


def save(module: nn.Module, path: Path) -> Path:
    """As the authors saved it: a pickled state dict."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), path)
    return path


def save_city(
    module: City, stem: Path, labels: list[str] | None = None, *, config: bool = True
) -> Path:
    """The pair NAME.safetensors and NAME.config.json."""
    path = stem.with_name(f"{stem.name}.safetensors")
    save_file(dict(module.state_dict()), path)
    if config:
        told = {
            "name": "CityAesthetics",
            "rev": "v1.8",
            "arch": "class" if labels else "score",
            "labels": {str(k): label for k, label in enumerate(labels or [])},
            "model_params": module.sizes,
        }
        stem.with_name(f"{stem.name}.config.json").write_text(json.dumps(told), encoding="utf-8")
    return path


def embeddings(count: int = 64, width: int = WIDTH, seed: int = 9) -> np.ndarray:
    """Raw ones (count, width), of the lengths that CLIP's have."""
    return np.random.default_rng(seed).normal(0, 0.4, (count, width)).astype(np.float32)


def said_of_unit(module: nn.Module, vectors: np.ndarray) -> np.ndarray:
    """What the published module says (n,) of embeddings that its own program has normalised."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    with torch.inference_mode():
        return module(torch.from_numpy(unit)).numpy()[:, 0]
