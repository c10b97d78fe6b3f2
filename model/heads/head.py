"""The predictor: a small residual network from an image's embedding to its score.

Names and shapes are those of CityAesthetics, so that weights go both ways.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

BATCH = 8192


class Residual(nn.Module):
    """Three layers with a skip connection: (B, hidden) → (B, hidden)."""

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
        return torch.relu(self.long(x) + x)  # (B, hidden)


class Head(nn.Module):
    """Raw embeddings (B, features) → scores 0–1 (B, 1), or class shares (B, outputs > 1)."""

    def __init__(self, features: int, hidden: int = 1024, outputs: int = 1) -> None:
        super().__init__()
        self.features, self.hidden, self.outputs = features, hidden, outputs
        self.up = nn.Sequential(nn.Linear(features, hidden), Residual(hidden))
        self.down = nn.Sequential(
            nn.Linear(hidden, 128),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.LeakyReLU(),
            nn.Linear(64, 32),
            nn.Linear(32, outputs),
        )

    @property
    def first(self) -> nn.Linear:
        """Return the layer that reads embeddings; its keys begin with up.0."""
        layer = self.up[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (B, outputs): a score is (tanh(logit) + 1) / 2, classes softmax(logits)."""
        x = self.up(x)  # (B, hidden)
        return self.down(x)  # (B, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.logits(x)  # (B, outputs)
        return torch.softmax(x, dim=1) if self.outputs > 1 else (torch.tanh(x) + 1) / 2


def predict(head: Head, embeddings: np.ndarray) -> np.ndarray:
    """Return float32 predictions, (n,) or (n, outputs > 1), for raw embeddings (n, features)."""
    head.eval()
    device = next(head.parameters()).device
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(embeddings), BATCH):
            block = np.ascontiguousarray(embeddings[start : start + BATCH], dtype=np.float32)
            blocks.append(head(torch.from_numpy(block).to(device)).float().cpu().numpy())
    if not blocks:
        blocks = [np.zeros((0, head.outputs), dtype=np.float32)]
    outputs = np.concatenate(blocks)
    return outputs[:, 0] if head.outputs == 1 else outputs
