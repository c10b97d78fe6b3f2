"""Compute open_clip's vision transformer with less work: the same embedding but for rounding.

The embedding comes from the first token alone, so the last block need not compute the others, which
is most of a block's work. Attention reads queries, keys and values where the layers before it left
them. QuickGELU, x · sigmoid(1.702 x), is torch's single SiLU of 1.702 x once the factor has moved
into the weights around it. Any other kind of tower stays as open_clip has it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear, scaled_dot_product_attention

QUICK_GELU_FACTOR = 1.702


class FastBlock(torch.nn.Module):
    """A transformer block of open_clip, for all tokens or only the first of them."""

    def __init__(self, block: Any, *, only_first: bool) -> None:
        super().__init__()
        self.heads = block.attn.num_heads
        self.queried = 1 if only_first else None
        self.attention, self.layers = block.attn, block.mlp
        self.before_attention, self.after_attention = block.ln_1, block.ls_1
        self.before_layers, self.after_layers = block.ln_2, block.ls_2

    def forward(self, tokens: torch.Tensor, **_: Any) -> torch.Tensor:
        """Map (n, tokens, d) to the same shape, or to (n, 1, d); the first still attends to all."""
        attended = self._attend(self.before_attention(tokens))
        tokens = tokens[:, : self.queried] + self.after_attention(attended)
        return tokens + self.after_layers(self.layers(self.before_layers(tokens)))

    def _attend(self, tokens: torch.Tensor) -> torch.Tensor:
        width = tokens.shape[2]
        weight, bias = self.attention.in_proj_weight, self.attention.in_proj_bias
        queried = tokens[:, : self.queried].contiguous()
        queries = linear(queried, weight[:width], bias[:width])
        keys_values = linear(tokens, weight[width:], bias[width:])  # (n, tokens, 2 d)
        keys, values = keys_values.unflatten(2, (2, self.heads, -1)).transpose(1, 3).unbind(2)
        queries = queries.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (n, heads, wanted, d')
        attended = scaled_dot_product_attention(queries, keys, values)
        return self.attention.out_proj(attended.transpose(1, 2).flatten(2))


class PatchEmbedding(torch.nn.Module):
    """The convolution over non-overlapping patches, as one matrix product."""

    def __init__(self, convolution: torch.nn.Conv2d) -> None:
        super().__init__()
        self.side = convolution.kernel_size[0]
        weight = convolution.weight.detach().permute(0, 2, 3, 1)  # (d, side, side, 3)
        self.weight = torch.nn.Parameter(weight.flatten(1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, size, size) to (n, d, size / side, size / side)."""
        rows = pixels.permute(0, 2, 3, 1).unflatten(1, (-1, self.side))
        squares = rows.unflatten(3, (-1, self.side)).transpose(2, 3)  # (n, g, g, side, side, 3)
        return linear(squares.flatten(3), self.weight).permute(0, 3, 1, 2)


def speed_up(tower: Any) -> None:
    """Speed up a tower with its weights in place; its embeddings differ by rounding only."""
    # Not at the top: model.encoders.clip must first make torchvision importable.
    from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer

    if type(tower) is not VisionTransformer or not getattr(tower.transformer, "batch_first", False):
        return
    blocks = tower.transformer.resblocks
    if any(type(block) is not ResidualAttentionBlock for block in blocks):
        return
    if tower.conv1.bias is None and tower.image_size[0] % tower.patch_size[0] == 0:
        tower.conv1 = PatchEmbedding(tower.conv1)
    from_first = tower.attn_pool is None and tower.pool_type == "tok" and not tower.output_tokens
    for number, block in enumerate(blocks):
        if type(block.mlp.gelu) is QuickGELU:
            _fold_factor(block.mlp)
        blocks[number] = FastBlock(block, only_first=from_first and number == len(blocks) - 1)


def _fold_factor(layers: Any) -> None:
    """Replace the weights around the activation, not in place: they may be mapped from a file."""
    for layer, name, factor in (
        (layers.c_fc, "weight", QUICK_GELU_FACTOR),
        (layers.c_fc, "bias", QUICK_GELU_FACTOR),
        (layers.c_proj, "weight", 1 / QUICK_GELU_FACTOR),
    ):
        setattr(layer, name, torch.nn.Parameter(getattr(layer, name).detach() * factor))
    layers.gelu = torch.nn.SiLU(inplace=True)
