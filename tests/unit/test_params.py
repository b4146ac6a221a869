from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferlab.errors import ParamsError, UserError
from inferlab.params import load_params, select_profile

REPOSITORY = Path(__file__).parents[2]
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Edit], Path]:
    def edited(edit: Edit) -> Path:
        content = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
        edit(content)
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return edited


def test_the_repositorys_own_file_is_right() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    assert params.profile is params.profiles[params.run.profile]
    assert set(params.run.models) <= set(params.models)
    assert params.profiles["full"].measure.rounds >= 10
    assert params.profiles["quick"].label == "quick: low confidence"


WRONG: dict[str, tuple[Edit, list[str]]] = {
    "an unknown section": (lambda c: c.update(studys={}), ["studys", "studies'"]),
    "a missing section": (lambda c: c.pop("serve"), ["serve", "required"]),
    "an unknown key": (lambda c: c["run"].update(seeds=1), ["run.seeds", "one of profile, seed", "'seed'"]),
    "an unknown key, deep": (
        lambda c: c["profiles"]["full"]["measure"].update(round=3),
        ["profiles.full.measure.round", "rounds, block_s", "'rounds'"],
    ),
    "a missing key": (lambda c: c["run"].pop("seed"), ["run.seed", "required"]),
    "a wrong type": (lambda c: c["run"].update(seed="7"), ["run.seed", "'7'", "integer"]),
    "a number that is a truth value": (lambda c: c["run"].update(seed=True), ["run.seed", "True"]),
    "zero rounds": (
        lambda c: c["profiles"]["full"]["measure"].update(rounds=0),
        ["profiles.full.measure.rounds", "0", "greater than or equal to 2"],
    ),
    "an unknown model": (lambda c: c["run"].update(models=["minilmm"]), ["run.models", "minilmm", "'minilm'"]),
    "an unknown optimization": (
        lambda c: c["run"]["optimizations"].append("prunde"),
        ["run.optimizations", "prunde", "'pruned'"],
    ),
    "an unknown target": (lambda c: c["run"].update(targets=["cpu-egaer"]), ["run.targets", "'cpu-eager'"]),
    "an unknown study": (lambda c: c["run"].update(studies=["servign"]), ["run.studies", "'serving'"]),
    "an unknown profile": (lambda c: c["run"].update(profile="ful"), ["run.profile", "'full'"]),
    "an unknown family": (
        lambda c: c["models"]["minilm"].update(family="minilmm"),
        ["models.minilm.family", "'minilm'"],
    ),
    "an unknown step": (
        lambda c: c["optimizations"]["pruned"]["steps"][0].update(kind="prun"),
        ["optimizations.pruned.steps[0].kind", "'prune'"],
    ),
    "an unknown option of a step": (
        lambda c: c["optimizations"]["pruned"]["steps"][0].update(mac_kept=0.5),
        ["optimizations.pruned.steps[0].mac_kept", "'macs_kept'"],
    ),
    "a share above one": (
        lambda c: c["optimizations"]["pruned"]["steps"][0].update(macs_kept=1.7),
        ["optimizations.pruned.steps[0].macs_kept", "1.7"],
    ),
    "an unknown precision": (
        lambda c: c["optimizations"]["quantized"].update(precision="int8-statik"),
        ["optimizations.quantized.precision", "'int8-static'"],
    ),
    "an unknown kind of scenario": (
        lambda c: c["scenarios"]["one-caller"].update(kind="close"),
        ["scenarios.one-caller.kind", "'closed'"],
    ),
    "no callers": (lambda c: c["scenarios"]["one-caller"].update(callers=0), ["scenarios.one-caller.callers"]),
    "an unknown scenario of a study": (
        lambda c: c["studies"]["serving"].update(scenarios=["one-calller"]),
        ["studies.serving.scenarios", "'one-caller'"],
    ),
    "nothing selected": (lambda c: c["run"].update(models=[]), ["run.models", "at least one"]),
    "one thing twice": (lambda c: c["run"].update(models=["noop", "noop"]), ["run.models", "each name once"]),
    "no reference": (lambda c: c["run"].update(optimizations=["pruned"]), ["run.optimizations", "'original'"]),
    "an original that is changed": (
        lambda c: c["optimizations"]["original"].update(precision="bf16"),
        ["optimizations.original", "untouched"],
    ),
    "batches that are never compiled": (
        lambda c: c["serve"].update(max_batch_size=64),
        ["serve.max_batch_size", "64", "8"],
    ),
    "int8 without calibration": (
        lambda c: c["optimizations"]["quantized"].update(steps=[]),
        ["optimizations.quantized.steps", "calibrate"],
    ),
    "calibration for nothing": (
        lambda c: c["optimizations"]["quantized"].update(precision="fp32"),
        ["optimizations.quantized.precision", "int8-static"],
    ),
    "a study of which nothing is selected": (
        lambda c: (
            c["run"].update(optimizations=["original"]),
            c["studies"]["serving"].update(optimizations=["pruned"]),
        ),
        ["studies.serving.optimizations"],
    ),
    "a name that is no name": (lambda c: c["models"].update({"../x": {"family": "noop"}}), ["models", "../x"]),
    "a row that is no mapping": (lambda c: c["models"].update(x=3), ["models.x", "3"]),
    "a data set of another kind": (
        lambda c: c["models"]["minilm"]["dataset"].update(name="review-snippetz"),
        ["models.minilm", "'review-snippets'"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_what_is_allowed(case: str, write: Callable[[Edit], Path]) -> None:
    edit, words = WRONG[case]
    with pytest.raises(ParamsError) as error:
        load_params(write(edit))
    assert error.value.exit_code == 2
    for word in words:
        assert word in str(error.value)


def test_a_key_that_stands_twice_is_found(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("run:\n  seed: 1\n  seed: 2\n")
    with pytest.raises(ParamsError, match="seed"):
        load_params(path)


@pytest.mark.parametrize("content", ["run: [", "- a\n", "", "\tx: 1"])
def test_a_file_that_is_no_mapping_is_the_users_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(UserError):
        load_params(path)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="repository's root"):
        load_params(tmp_path / "params.yaml")


def test_selecting_a_profile_changes_one_word(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (REPOSITORY / "params.yaml").read_text()
    path.write_text(before)
    select_profile(path, "quick")
    select_profile(path, "quick")
    assert load_params(path).run.profile == "quick"
    select_profile(path, "full")
    assert path.read_text() == before.replace("profile: quick", "profile: full")
    with pytest.raises(ParamsError, match="'quick'"):
        select_profile(path, "quik")
