"""The module as a torch.export program, which targets can compile without its Python code."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from inferlab.files import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

PROGRAM_FILE = "program.pt2"
LARGEST_BATCH = 1024


def export_program(module: nn.Module, names: tuple[str, ...], example: tuple[Tensor, ...], path: Path) -> None:
    """Write the program of `module` with a dynamic batch dimension. `example` has a batch of at least two."""
    import torch

    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    program = torch.export.export(module.eval(), example, dynamic_shapes={name: {0: batch} for name in names})
    with whole_file(path) as part, warnings.catch_warnings():
        # torch warns of its own deprecated class while it writes.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        with part.open("wb") as stream:
            torch.export.save(program, stream)
