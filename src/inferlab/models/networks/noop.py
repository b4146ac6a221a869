"""The network that does nothing."""

import torch
from torch import Tensor, nn


class ConstantEmbedding(nn.Module):
    """Zeroes float32 [batch, size] for token ids [batch, ...]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, input_ids: Tensor) -> Tensor:
        return torch.zeros((input_ids.shape[0], self.size), dtype=torch.float32)
