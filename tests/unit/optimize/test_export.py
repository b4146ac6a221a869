from pathlib import Path

import pytest
import torch
from models.rows import MINILM, PICTURES

from inferlab.models.base import MODELS, Model
from inferlab.optimize.export import export_program

ROWS = {"efficientnet-lite": PICTURES, "minilm": MINILM, "noop": {}}


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("family", sorted(ROWS))
def test_a_program_gives_the_outputs_of_its_module_for_any_batch(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model: Model = MODELS.get(family).model_validate({"name": "m", "family": family, **ROWS[family]})
    module = model.architecture()

    def inputs(batch: int) -> tuple[torch.Tensor, ...]:
        arrays = model.preprocess(model.example_samples(batch, seed=0))
        return tuple(torch.from_numpy(arrays[spec.name]) for spec in model.inputs)

    export_program(module, tuple(spec.name for spec in model.inputs), inputs(2), tmp_path / "program.pt2")
    program = torch.export.load(tmp_path / "program.pt2").module()
    with torch.no_grad():
        for batch in (1, 5):
            assert torch.allclose(program(*inputs(batch)), module(*inputs(batch)), atol=1e-5)
