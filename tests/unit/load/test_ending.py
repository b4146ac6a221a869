import time

from inferlab.load.ending import LEAST_WINDOW_S, Ending


def test_the_end_is_moved_once_and_told_once() -> None:
    told: list[float] = []
    ending = Ending()
    now_s = time.monotonic()
    ending.plan(now_s - 1, now_s + 60, lambda: told.append(ending.end_s))
    assert (ending.early, ending.end_s) == (False, now_s + 60)
    ending.end()
    ending.end()
    assert ending.early
    assert now_s <= ending.end_s < now_s + 60
    assert told == [ending.end_s]


def test_there_is_a_window_however_early_the_end_comes() -> None:
    ending = Ending()
    from_s = time.monotonic() + 5
    ending.plan(from_s, from_s + 60)
    ending.end()
    assert ending.end_s == from_s + LEAST_WINDOW_S


def test_a_planned_end_that_has_passed_is_not_put_off() -> None:
    ending = Ending()
    now_s = time.monotonic()
    ending.plan(now_s - 10, now_s - 5)
    ending.end()
    assert ending.end_s == now_s - 5
