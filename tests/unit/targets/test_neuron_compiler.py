from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inferlab.errors import Unsupported
from inferlab.targets.inf2_neuronx import prepare_import
from inferlab.targets.neuron_compiler import (
    Analysis,
    AnalysisError,
    analyzed,
    analyzed_or_why_not,
    compile_one,
    compiler_arguments,
)

FLAGS = compiler_arguments("fp32", attention=False)
EXAMPLE = (torch.ones(1, 4),)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


class Nonzero(nn.Module):
    """Its output's shape depends on data."""

    def forward(self, tensor: Tensor) -> Tensor:
        return (tensor * 2).nonzero()


def test_transformers_are_told_the_compiler() -> None:
    assert compiler_arguments("fp32", attention=True)[2:4] == ["--model-type", "transformer"]
    assert FLAGS == ["--target", "inf2", "--model-type", "generic", "--optlevel", "2", "--auto-cast", "none"]


def test_a_refusal_names_the_operators(neuron_device: Path, tmp_path: Path) -> None:
    prepare_import(device=True)
    with pytest.raises(Unsupported, match="neuronx-cc takes 1 of 2 operators, not aten::nonzero"):
        compile_one(Nonzero(), EXAMPLE, FLAGS, True, tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_a_failure_of_another_kind_stays_one(neuron_device: Path, tmp_path: Path) -> None:
    prepare_import(device=True)
    with pytest.raises(RuntimeError, match="unknown argument --optlevel 9"):
        compile_one(nn.Linear(4, 2), EXAMPLE, [*FLAGS[:5], "9", *FLAGS[6:]], True, tmp_path / "out.pt")


@pytest.mark.parametrize(("status", "kind"), [(70, Unsupported), (-9, RuntimeError)])
def test_a_compiler_that_refuses_is_told_from_one_that_was_killed(
    neuron_device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[Exception]
) -> None:
    prepare_import(device=True)
    import torch_neuronx

    def failing(*arguments: object, **options: object) -> None:
        raise RuntimeError(f"neuronx-cc failed with {status}")

    monkeypatch.setattr(torch_neuronx, "trace", failing)
    with pytest.raises(kind, match=f"neuronx-cc failed with {status}") as failure:
        compile_one(nn.Linear(4, 2), EXAMPLE, FLAGS, True, tmp_path / "out.pt")
    assert isinstance(failure.value, kind)


@pytest.mark.parametrize("failure", [RuntimeError, AssertionError])
def test_an_analysis_that_fails_says_why(
    neuron_device: Path, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    prepare_import(device=True)
    import torch_neuronx

    def failing(*arguments: object, **options: object) -> None:
        raise failure("neuronx-cc is not installed.\npip install it")

    monkeypatch.setattr(torch_neuronx, "analyze", failing)
    with pytest.raises(AnalysisError, match=r"^neuronx-cc is not installed.$"):
        analyzed(nn.Linear(4, 2), EXAMPLE)
    found = analyzed_or_why_not(nn.Linear(4, 2), EXAMPLE)
    assert (found.share, found.problem) == (None, "neuronx-cc is not installed.")
    assert "gave no answer" in found.note


class OfTransformers(nn.Linear):
    __module__ = "transformers.models.bert.modeling_bert"


def test_an_analysis_is_told_of_models_on_which_it_would_deadlock(
    neuron_device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_import(device=True)
    import torch_neuronx

    told: list[bool] = []
    real = torch_neuronx.analyze

    def noting(*arguments: Any, is_hf_transformers: bool, **options: Any) -> Any:
        told.append(is_hf_transformers)
        return real(*arguments, is_hf_transformers=is_hf_transformers, **options)

    monkeypatch.setattr(torch_neuronx, "analyze", noting)
    for layer in (nn.Linear(4, 2), OfTransformers(4, 2)):
        analyzed(nn.Sequential(layer), EXAMPLE)
    assert told == [False, True]


def test_a_share_is_of_all_operators() -> None:
    assert Analysis(supported=3, operators=4, unsupported=("aten::sort",)).share == 0.75
