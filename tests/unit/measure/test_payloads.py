from pathlib import Path

import pytest
from targets.tiny import TinyModel, write_prepared

from inferlab.errors import DataError, UserError
from inferlab.measure.payloads import payloads, together
from inferlab.records import PayloadMix


def test_a_model_gets_its_own_samples(tmp_path: Path) -> None:
    stored = write_prepared(TinyModel(), tmp_path, 5)
    known = TinyModel().preprocess(stored.raw)["picture"]
    sent = payloads(TinyModel(), tmp_path, seed=1, mix=PayloadMix())
    assert len(sent) == 5
    found = [[index for index in range(5) if (known[index] == one["picture"][0]).all()] for one in sent]
    assert sorted(found) == [[0], [1], [2], [3], [4]]


def test_of_many_samples_a_seeded_few_are_sent(tmp_path: Path) -> None:
    write_prepared(TinyModel(), tmp_path, 40)
    sent, again, others = (payloads(TinyModel(), tmp_path, seed, PayloadMix()) for seed in (1, 1, 2))
    assert len(sent) == len({one["picture"].tobytes() for one in sent}) == 16
    assert [one["picture"].tobytes() for one in sent] == [one["picture"].tobytes() for one in again]
    assert [one["picture"].tobytes() for one in sent] != [one["picture"].tobytes() for one in others]


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04broken"])
def test_data_that_is_not_there_is_named_and_not_made_up(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "evaluation.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"evaluation\.npz"):
        payloads(TinyModel(), tmp_path, seed=1, mix=PayloadMix())


def test_draws_need_as_many_samples_as_they_are_drawn_from(tmp_path: Path) -> None:
    write_prepared(TinyModel(), tmp_path, 5)
    assert len(payloads(TinyModel(), tmp_path, 1, PayloadMix(distinct=4, zipf_exponent=1.0))) == 4
    with pytest.raises(UserError, match=r"payloads\.distinct of the study is 6; expected at most 5"):
        payloads(TinyModel(), tmp_path, 1, PayloadMix(distinct=6, zipf_exponent=1.0))


def test_payloads_of_several_items_go_round_the_samples(tmp_path: Path) -> None:
    write_prepared(TinyModel(), tmp_path, 3)
    single = [one["picture"] for one in payloads(TinyModel(), tmp_path, 1, PayloadMix())]
    pairs = together([{"picture": one} for one in single], 2)
    assert [pair["picture"].shape[0] for pair in pairs] == [2, 2, 2]
    expected = [(0, 1), (1, 2), (2, 0)]
    for pair, members in zip(pairs, expected, strict=True):
        assert all((pair["picture"][place] == single[member][0]).all() for place, member in enumerate(members))
