from pathlib import Path

import numpy as np
import pytest
from targets.tiny import TinyModel, write_prepared

from inferlab.errors import DataError
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


def test_a_model_with_data_gets_its_own_samples(tmp_path: Path) -> None:
    stored = write_prepared(TinyModel(), tmp_path, 5)
    known = TinyModel().preprocess(stored.raw)["picture"]
    sent = payloads(TinyModel(), tmp_path, seed=1)
    assert len(sent) == 5
    found = [[index for index in range(5) if (known[index] == one["picture"][0]).all()] for one in sent]
    assert sorted(found) == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04broken"])
def test_data_that_is_not_there_is_named_and_not_made_up(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "evaluation.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"evaluation\.npz"):
        payloads(TinyModel(), tmp_path, seed=1)
