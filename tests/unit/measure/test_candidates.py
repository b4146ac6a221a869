import pytest

from inferlab.measure.candidates import Space, propose
from inferlab.records import Candidate, SearchSpace

ASKED = SearchSpace(trials=12, batch_limits=(4, 1, 2), threads=(8, 1, 2, 4), replicas=(1, 2, 4, 8))


def value(candidate: Candidate) -> float:
    """Greatest with four replicas of two threads and a batch limit of 4, and unimodal around it."""
    off = abs(candidate.replicas - 4) + abs(candidate.threads - 2) + abs(candidate.batch_limit - 4)
    return 100.0 - 5 * off


def searched(space: Space, trials: int, seed: int = 3) -> dict[Candidate, float | None]:
    found: dict[Candidate, float | None] = {}
    while len(found) < trials and (candidate := propose(space, found, seed)) is not None:
        assert candidate not in found
        found[candidate] = value(candidate)
    return found


def test_replicas_have_cores_of_their_own_and_the_default_always_fits() -> None:
    space = Space.here(ASKED, cores=6, max_batch_size=8)
    found = space.candidates()
    assert {(one.threads, one.replicas) for one in found} == {(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1), (6, 1)}
    assert {one.batch_limit for one in found} == {1, 2, 4, 8}
    assert len(found) == len(set(found)) == 7 * 4
    assert space.default == Candidate(batch_limit=8, threads=6, replicas=1)
    assert space.default in found


@pytest.mark.parametrize(("cores", "device_cores"), [(1, None), (8, 1)])
def test_on_one_core_of_either_kind_only_the_batch_limit_varies(cores: int, device_cores: int | None) -> None:
    found = Space.here(ASKED, cores, 8, device_cores).candidates()
    assert [(one.batch_limit, one.threads, one.replicas) for one in found] == [(n, cores, 1) for n in (1, 2, 4, 8)]


def test_replicas_on_an_accelerator_are_as_many_as_it_has_cores_and_share_the_cpu() -> None:
    found = Space.here(ASKED, cores=3, max_batch_size=4, device_cores=2).candidates()
    assert {(one.threads, one.replicas) for one in found} == {(3, 1), (3, 2)}


def test_the_default_is_tried_first_and_all_where_there_are_no_more_than_trials() -> None:
    space = Space.here(ASKED, 2, 4)
    found = searched(space, trials=100)
    assert next(iter(found)) == space.default
    assert set(found) == set(space.candidates())
    assert propose(space, found, 3) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_known_best_is_found_in_far_fewer_trials_than_candidates(seed: int) -> None:
    space = Space.here(ASKED, 8, 4)
    everything = sorted(map(value, space.candidates()))
    assert len(everything) == 30
    found = searched(space, trials=15, seed=seed)
    best = max(number for number in found.values() if number is not None)
    assert best >= everything[-2]


def test_what_comes_next_depends_on_what_was_found_alone() -> None:
    space = Space.here(ASKED, 8, 8)
    whole = list(searched(space, trials=9).items())
    for done in range(9):
        assert propose(space, dict(whole[:done]), 3) == whole[done][0]
    assert list(searched(space, trials=9, seed=4)) != [candidate for candidate, _ in whole]


def test_a_candidate_that_failed_is_not_tried_again() -> None:
    space = Space.here(ASKED, 1, 4)
    found: dict[Candidate, float | None] = {}
    while (candidate := propose(space, found, 1)) is not None:
        assert candidate not in found
        found[candidate] = None
    assert len(found) == 3
