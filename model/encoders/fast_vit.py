"""open_clip's own vision transformer with less to compute: the same embedding, sooner.

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


class Block(torch.nn.Module):
    """A transformer's block of open_clip, for all tokens or only for the first of them."""

    def __init__(self, block: Any, *, only_first: bool) -> None:
        super().__init__()
        self.heads = block.attn.num_heads
        self.wanted = 1 if only_first else None
        self.attention, self.layers = block.attn, block.mlp
        self.before_attention, self.after_attention = block.ln_1, block.ls_1
        self.before_layers, self.after_layers = block.ln_2, block.ls_2

    def forward(self, tokens: torch.Tensor, **_: Any) -> torch.Tensor:
        """(n, tokens, d) → the same, or (n, 1, d); the first still attends to all."""
        attended = self._attend(self.before_attention(tokens))
        tokens = tokens[:, : self.wanted] + self.after_attention(attended)
        return tokens + self.after_layers(self.layers(self.before_layers(tokens)))

    def _attend(self, tokens: torch.Tensor) -> torch.Tensor:
        width = tokens.shape[2]
        weight, bias = self.attention.in_proj_weight, self.attention.in_proj_bias
        wanted = tokens[:, : self.wanted].contiguous()
        queries = linear(wanted, weight[:width], bias[:width])
        both = linear(tokens, weight[width:], bias[width:])  # (n, tokens, 2 d)
        keys, values = both.unflatten(2, (2, self.heads, -1)).transpose(1, 3).unbind(2)
        queries = queries.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (n, heads, wanted, d')
        found = scaled_dot_product_attention(queries, keys, values)
        return self.attention.out_proj(found.transpose(1, 2).flatten(2))


class Patches(torch.nn.Module):
    """The convolution that looks at each square of the picture once, as one matrix product."""

    def __init__(self, convolution: torch.nn.Conv2d) -> None:
        super().__init__()
        self.side = convolution.kernel_size[0]
        weight = convolution.weight.detach().permute(0, 2, 3, 1)  # (d, side, side, 3)
        self.weight = torch.nn.Parameter(weight.flatten(1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, size, size) → (n, d, size / side, size / side)."""
        rows = pixels.permute(0, 2, 3, 1).unflatten(1, (-1, self.side))
        squares = rows.unflatten(3, (-1, self.side)).transpose(2, 3)  # (n, g, g, side, side, 3)
        return linear(squares.flatten(3), self.weight).permute(0, 3, 1, 2)


def shorten(tower: Any) -> None:
    """Change a tower with its weights in place; its embeddings differ by rounding only."""
    from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer

    if type(tower) is not VisionTransformer or not getattr(tower.transformer, "batch_first", False):
        return
    blocks = tower.transformer.resblocks
    if any(type(block) is not ResidualAttentionBlock for block in blocks):
        return
    if tower.conv1.bias is None and tower.image_size[0] % tower.patch_size[0] == 0:
        tower.conv1 = Patches(tower.conv1)
    from_first = tower.attn_pool is None and tower.pool_type == "tok" and not tower.output_tokens
    for number, block in enumerate(blocks):
        if type(block.mlp.gelu) is QuickGELU:
            _fold_factor(block.mlp)
        blocks[number] = Block(block, only_first=from_first and number == len(blocks) - 1)


def _fold_factor(layers: Any) -> None:
    """Change the two layers around the activation; not in place, the weights may lie in a file."""
    for layer, name, factor in (
        (layers.c_fc, "weight", QUICK_GELU_FACTOR),
        (layers.c_fc, "bias", QUICK_GELU_FACTOR),
        (layers.c_proj, "weight", 1 / QUICK_GELU_FACTOR),
    ):
        setattr(layer, name, torch.nn.Parameter(getattr(layer, name).detach() * factor))
    layers.gelu = torch.nn.SiLU(inplace=True)
