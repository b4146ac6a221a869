from pathlib import Path

import numpy as np
import pytest
import torch

from inferlab.models.base import Model
from inferlab.targets.cpu_eager_tuned import CpuEagerTuned
from inferlab.targets.loading import SessionFactory
from targets.conftest import Compile
from targets.tiny import expected


def fp32_products() -> str:
    return str(torch.backends.mkldnn.matmul.fp32_precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_session_gives_what_the_module_gives(tiny: Model, compile_tiny: Compile, precision: str) -> None:
    folder, record = compile_tiny("cpu-eager-tuned", precision)
    assert record.outcome == "measured"
    inputs = tiny.preprocess(tiny.example_samples(5, seed=3))
    logits = SessionFactory(folder, tiny, cores=(0,))().run(inputs)["logits"]
    np.testing.assert_allclose(logits, expected(tiny, inputs), atol=0.05 if precision == "bf16" else 1e-5)


def test_pictures_and_weights_lie_pixel_by_pixel(
    tiny: Model, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = compile_tiny("cpu-eager-tuned")
    session = SessionFactory(folder, tiny, cores=(0,))()
    seen = []
    convolve = torch.nn.Conv2d.forward

    def observe(layer: torch.nn.Conv2d, picture: torch.Tensor) -> torch.Tensor:
        seen.extend(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (picture, layer.weight))
        return convolve(layer, picture)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", observe)
    session.run(tiny.preprocess(tiny.example_samples(2, seed=3)))
    assert seen == [True, True]


def test_products_go_to_onednn_until_a_session_of_the_defaults_is_loaded(
    tiny: Model, compile_tiny: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferlab.targets.cpu_eager_tuned.flags_here", lambda: frozenset({"avx512_bf16"}))
    folders: dict[str, Path] = {name: compile_tiny(name)[0] for name in ("cpu-eager-tuned", "cpu-eager")}
    SessionFactory(folders["cpu-eager-tuned"], tiny, cores=(0,))()
    assert fp32_products() == "bf16"
    SessionFactory(folders["cpu-eager"], tiny, cores=(0,))()
    assert fp32_products() == "none"


def test_where_onednn_would_round_to_bf16_products_stay_with_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferlab.targets.cpu_eager_tuned.flags_here", lambda: frozenset({"avx512_bf16", "amx_bf16"}))
    assert CpuEagerTuned().fp32_products() == "none"
