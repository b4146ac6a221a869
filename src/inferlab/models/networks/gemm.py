"""A chain of square matrix products: nothing to fuse, nothing that waits for memory."""

import torch
from torch import Tensor, nn

SIZE = 2048
PRODUCTS = 4


class ProductChain(nn.Module):
    """Token ids int64 [batch, rows] -> logits float32 [batch, classes].

    Each id stands for a row of random numbers, and the head is one product with a vector, so that inputs and outputs
    cost nothing beside the products of [batch x rows, 2048] with [2048, 2048].
    """

    def __init__(self, vocabulary_size: int, classes: int) -> None:
        super().__init__()
        self.rows = nn.Embedding(vocabulary_size, SIZE)
        products = [nn.Linear(SIZE, SIZE, bias=False) for _ in range(PRODUCTS)]
        self.products = nn.Sequential(*products)
        self.classifier = nn.Linear(SIZE, classes)
        with torch.no_grad():
            for product in products:
                # The variance of the rows is kept, so that no precision runs out of range.
                product.weight.normal_(std=SIZE**-0.5)

    def forward(self, input_ids: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.products(self.rows(input_ids)).mean(dim=1))
        return logits
