"""ResNet-50: bottleneck blocks of three convolutions, each added to what came in.

Architecture: He et al., Deep Residual Learning for Image Recognition, 2015 (arXiv 1512.03385), table 1, with the stride
of a stage in the 3 x 3 convolution, as in the version 1.5 that MLPerf Inference and torchvision have.
"""

import torch
from torch import Tensor, nn

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
"""Blocks, width, and stride of the first block."""
EXPANSION = 4


class Bottleneck(nn.Module):
    """Narrow, filter, widen."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.narrow = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.filter = nn.Sequential(
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.widen = nn.Sequential(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        changed = self.widen(self.filter(self.narrow(features)))
        result: Tensor = self.activation(changed + self.shortcut(features))
        return result


class ResNet50(nn.Module):
    """Pictures float32 [batch, 3, size, size] -> logits [batch, classes]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
        )
        blocks, inputs = [], 64
        for count, width, stride in STAGES:
            for index in range(count):
                blocks.append(Bottleneck(inputs, width, stride if index == 0 else 1))
                inputs = width * EXPANSION
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, picture: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.blocks(self.stem(picture))).flatten(1))
        return logits


def take_statistics(module: nn.Module, pictures: Tensor) -> None:
    """Have every batch normalization hold the mean and variance that `pictures` [batch, 3, size, size] give it."""
    layers = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 1.0
    module.train()
    with torch.no_grad():
        module(pictures)
    module.eval()
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
