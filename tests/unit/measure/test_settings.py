from fakes import planned, settings

from inferlab.measure.precision import RoundsRule


def test_a_rule_takes_the_rounds_as_the_least_of_them() -> None:
    found = settings(rounds=5, precision=0.02, max_rounds=30)
    assert found.stop == RoundsRule(precision=0.02, least_rounds=5, max_rounds=30)
    assert found.most_rounds == 30
    fixed = settings(rounds=5)
    assert (fixed.stop, fixed.most_rounds) == (None, 5)


def test_the_key_of_a_block_names_its_cell_and_its_place() -> None:
    key = settings(study="s").key(planned("fastapi", twin=True), "one-caller", 3, 1, 7, warmup_s=0.1)
    wanted = {"study": "s", "configuration": "m/original/t/fastapi/none/twin", "twin": True, "scenario": "one-caller"}
    wanted |= {"round": 3, "attempt": 1, "order": 7, "warmup_s": 0.1, "provenance": "hardware", "profile": "tiny"}
    assert {name: key[name] for name in wanted} == wanted
