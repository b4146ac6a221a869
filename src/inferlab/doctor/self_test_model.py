"""The model of a self-test: no weights to download, one matrix product, compiled in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferlab.models.noop import EMBEDDING_SIZE, SEQUENCE_LENGTH, VOCABULARY_SIZE, Noop
from inferlab.models.structure import save_module
from inferlab.optimize.export import PROGRAM_FILE, export_program

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

FEATURES = 4


class SelfTestModel(Noop):
    """Takes and gives what `noop` does, by way of an embedding and a linear layer with random weights."""

    def architecture(self) -> nn.Module:
        import torch
        from torch import nn

        torch.manual_seed(0)
        return nn.Sequential(
            nn.Embedding(VOCABULARY_SIZE, FEATURES), nn.Flatten(), nn.Linear(FEATURES * SEQUENCE_LENGTH, EMBEDDING_SIZE)
        ).eval()

    def write_optimized(self, folder: Path) -> nn.Module:
        """Write what the optimize stage leaves for a compiler; gives the module."""
        import torch

        folder.mkdir(parents=True)
        module = self.architecture()
        save_module(module, folder)
        example = torch.from_numpy(self.preprocess(self.example_samples(2, seed=0))["input_ids"])
        export_program(module, ("input",), (example,), folder / PROGRAM_FILE)
        return module
