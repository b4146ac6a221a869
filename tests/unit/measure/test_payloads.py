from pathlib import Path

import numpy as np

from inferlab.measure.payloads import PAYLOADS, payloads
from inferlab.models.base import MODELS


def test_a_model_without_data_gets_numbers_of_its_types() -> None:
    noop = MODELS.get("noop")(name="noop", family="noop")
    samples = payloads(noop, Path("no-such-folder"), seed=1)
    assert len(samples) == PAYLOADS
    assert samples[0]["input_ids"].shape == (1, 128)
    assert samples[0]["input_ids"].dtype == np.int64
    assert any((samples[0]["input_ids"] != sample["input_ids"]).any() for sample in samples[1:])
    again = payloads(noop, Path("no-such-folder"), seed=1)
    assert all((a["input_ids"] == b["input_ids"]).all() for a, b in zip(samples, again, strict=True))
