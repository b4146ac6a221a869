from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferlab.data.fashion_mnist import FILES
from inferlab.errors import ParamsError
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
    "a wrong type": (lambda c: c["run"].update(seed="7"), ["run.seed", "'7'", "a whole number"]),
    "a number that is a truth value": (lambda c: c["run"].update(seed=True), ["run.seed", "True"]),
    "zero rounds": (
        lambda c: c["profiles"]["full"]["measure"].update(rounds=0),
        ["profiles.full.measure.rounds", "0", "at least 2"],
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
        ["models.minilm.dataset.name", "review-snippetz", "'review-snippets'"],
    ),
    "a data set whose name is a list": (
        lambda c: c["models"]["minilm"]["dataset"].update(name=["review-snippets"]),
        ["models.minilm.dataset.name", "review-snippets"],
    ),
    "a data set that the family cannot read": (
        lambda c: c["models"]["minilm"]["dataset"].update(name="fashion-mnist"),
        ["models.minilm.dataset.name", "'fashion-mnist'", "allowed: review-snippets"],
    ),
    "a data set for a family that takes none": (
        lambda c: c["models"]["noop"].update(dataset=c["models"]["minilm"]["dataset"]),
        ["models.noop.dataset", "no data set"],
    ),
    "a data set that is no mapping": (
        lambda c: c["models"]["minilm"].update(dataset=3),
        ["models.minilm.dataset", "a mapping of name, train, test, calibration"],
    ),
    "an unknown key of a data set": (
        lambda c: c["models"]["efficientnet-lite0"]["dataset"].update(pathh="x"),
        ["models.efficientnet-lite0.dataset.pathh", "one of name, train, test, calibration, path", "'path'"],
    ),
    "a folder of data that is not there": (
        lambda c: c["models"]["efficientnet-lite0"]["dataset"].update(path="nowhere"),
        ["models.efficientnet-lite0.dataset.path", "'nowhere'", "train-images-idx3-ubyte.gz", "null"],
    ),
    "more training pictures than the package carries": (
        lambda c: c["models"]["efficientnet-lite0"]["dataset"].update(train=12001),
        ["models.efficientnet-lite0.dataset.train", "12001", "at most 12000"],
    ),
    "more test pictures than there are": (
        lambda c: c["models"]["efficientnet-lite0"]["dataset"].update(test=10001),
        ["models.efficientnet-lite0.dataset.test", "at most 10000"],
    ),
    "more snippets than there are": (
        lambda c: c["models"]["minilm"]["dataset"].update(train=9000),
        ["models.minilm.dataset.train", "9000", "at most 8808"],
    ),
    "no snippets left to train on": (
        lambda c: c["models"]["minilm"]["dataset"].update(test=12808),
        ["models.minilm.dataset.test", "at most 12807"],
    ),
    "more samples to calibrate with than to train on": (
        lambda c: c["models"]["minilm"]["dataset"].update(calibration=8601),
        ["models.minilm.dataset.calibration", "8601", "at most 8600"],
    ),
    "a name inside of a row": (
        lambda c: c["models"]["minilm"].update(name="other"),
        ["models.minilm.name", "'other'"],
    ),
    "a kind of scenario that is a list": (
        lambda c: c["scenarios"]["one-caller"].update(kind=["closed"]),
        ["scenarios.one-caller.kind", "['closed']", "closed, open"],
    ),
    "a kind of scenario that is a mapping": (
        lambda c: c["scenarios"]["one-caller"].update(kind={"closed": 1}),
        ["scenarios.one-caller.kind", "closed, open"],
    ),
    "a date as a key": (
        lambda c: c["compile"].update({date(2020, 1, 2): 1}),
        ["compile", "2020, 1, 2", "text"],
    ),
    "a date as a value": (
        lambda c: c["profiles"]["full"].update(label=date(2020, 1, 2)),
        ["profiles.full.label", "2020, 1, 2", "text"],
    ),
    "an endless time": (
        lambda c: c["profiles"]["full"]["measure"].update(block_s=float("inf")),
        ["profiles.full.measure.block_s", "inf", "finite"],
    ),
    "an endless rate": (
        lambda c: c["models"]["minilm"]["fit"].update(learning_rate=float("inf")),
        ["models.minilm.fit.learning_rate", "inf", "finite"],
    ),
    "a rate that no training survives": (
        lambda c: c["models"]["minilm"]["fit"].update(learning_rate=1e300),
        ["models.minilm.fit.learning_rate", "1e+300", "at most 1"],
    ),
    "a time that is no number": (
        lambda c: c["serve"].update(request_timeout_s=float("nan")),
        ["serve.request_timeout_s", "nan", "finite"],
    ),
    "a count beyond 64 bits": (
        lambda c: c["models"]["minilm"]["fit"].update(batch_size=2**70),
        ["models.minilm.fit.batch_size", "64 bits"],
    ),
    "a training of ages": (
        lambda c: c["models"]["minilm"]["fit"].update(epochs=1001),
        ["models.minilm.fit.epochs", "at most 1000"],
    ),
    "no training": (
        lambda c: c["models"]["minilm"]["fit"].update(epochs=0),
        ["models.minilm.fit.epochs", "above 0"],
    ),
    "a block of ages": (
        lambda c: c["profiles"]["full"]["measure"].update(block_s=1e300),
        ["profiles.full.measure.block_s", "1e+300", "at most 3600"],
    ),
    "a warm-up of ages": (
        lambda c: c["profiles"]["full"]["measure"].update(warmup_s=3601),
        ["profiles.full.measure.warmup_s", "at most 3600"],
    ),
    "a time-out of ages": (
        lambda c: c["serve"].update(request_timeout_s=1e9),
        ["serve.request_timeout_s", "at most 3600"],
    ),
    "requests without end": (
        lambda c: c["profiles"]["full"]["measure"].update(max_requests=10**9),
        ["profiles.full.measure.max_requests", "at most 10000000"],
    ),
    "a seed of more than 32 bits": (lambda c: c["run"].update(seed=2**32), ["run.seed", "below 4294967296"]),
    "a negative seed": (lambda c: c["run"].update(seed=-1), ["run.seed", "-1", "at least 0"]),
    "a study without the reference": (
        lambda c: c["studies"]["serving"].update(optimizations=["quantized"]),
        ["studies.serving.optimizations", "['quantized']", "'original'"],
    ),
    "an optimization twice in a study": (
        lambda c: c["studies"]["serving"].update(optimizations=["original", "original"]),
        ["studies.serving.optimizations", "'original'", "each name once"],
    ),
    "a scenario twice in a study": (
        lambda c: c["studies"]["serving"].update(scenarios=["one-caller", "one-caller"]),
        ["studies.serving.scenarios", "'one-caller'", "each name once"],
    ),
    "no batch of one": (lambda c: c["compile"].update(batch_sizes=[2, 8]), ["compile.batch_sizes", "[2, 8]", "1"]),
    "a batch size twice": (
        lambda c: c["compile"].update(batch_sizes=[1, 8, 8]),
        ["compile.batch_sizes", "[1, 8, 8]", "each size once"],
    ),
    "no batch sizes": (
        lambda c: c["compile"].update(batch_sizes=[]),
        ["compile.batch_sizes", "a list of at least 1 item"],
    ),
    "a name in place of names": (lambda c: c["run"].update(models="noop"), ["run.models", "a list of texts"]),
    "a number in place of numbers": (
        lambda c: c["compile"].update(batch_sizes=4),
        ["compile.batch_sizes", "a list of whole numbers"],
    ),
    "a number in place of a name": (lambda c: c["run"].update(models=[1]), ["run.models[0]", "allowed: text"]),
    "a text in place of a number": (
        lambda c: c["profiles"]["full"]["measure"].update(block_s="x"),
        ["profiles.full.measure.block_s", "'x'", "allowed: a number"],
    ),
    "a text in place of a truth value": (
        lambda c: c["models"]["efficientnet-lite0"]["fit"].update(flip="yes"),
        ["models.efficientnet-lite0.fit.flip", "'yes'", "allowed: true or false"],
    ),
    "a number in place of a section": (lambda c: c.update(run=3), ["run", "a mapping of profile, seed, models"]),
    "a number in place of a row": (
        lambda c: c["profiles"]["full"].update(measure=3),
        ["profiles.full.measure", "a mapping of rounds, block_s"],
    ),
    "more payloads than a model has samples": (
        lambda c: (c["run"].update(studies=["caching"]), c["studies"]["caching"]["payloads"].update(distinct=4001)),
        ["studies.caching.payloads.distinct", "4001", "at most 4000, the evaluation samples of minilm in", "full"],
    ),
    "a cache that holds nothing": (
        lambda c: c["studies"]["caching"].update(cache_shares=[0.001]),
        ["studies.caching", "at least one (these hold 0)"],
    ),
    "a key beside the one that is meant": (
        lambda c: c["studies"]["caching"].update(payloads={"distinct": 20, "zipf_exponet": 1.0}),
        ["studies.caching.payloads.zipf_exponet", "'zipf_exponent'?"],
    ),
    "a batch limit beyond that of all": (
        lambda c: (c["run"].update(studies=["batch-limit"]), c["studies"]["batch-limit"].update(batch_limits=[16])),
        ["studies.batch-limit.batch_limits", "16", "at most 8"],
    ),
    "requests that do not fit into a batch": (
        lambda c: (
            c["run"].update(studies=["request-size"]),
            c["studies"]["request-size"].update(batchings=["none", "dynamic"]),
        ),
        ["studies.request-size.scenarios", "four-callers-2-items", "at most 1 item"],
    ),
    "a batch limit to try beyond that of all": (
        lambda c: (c["run"].update(studies=["tuning"]), c["studies"]["tuning"].update(batch_limits=[1, 16])),
        ["studies.tuning.batch_limits", "16", "at most 8"],
    ),
    "a tuning without a search": (
        lambda c: c["studies"]["tuning"].update(scenarios=["eight-callers"]),
        ["studies.tuning.scenarios", "eight-callers", "one scenario, of the kind search"],
    ),
    "a tuning for two aims": (
        lambda c: c["studies"]["tuning"].update(scenarios=["p99-within-50-ms", "eight-callers"]),
        ["studies.tuning.scenarios", "one scenario, of the kind search"],
    ),
    "a value to try twice": (
        lambda c: c["studies"]["tuning"].update(threads=[1, 2, 1]),
        ["studies.tuning", "threads with each value once (these are 1, 2, 1)"],
    ),
    "no value to try": (
        lambda c: c["studies"]["tuning"].update(replicas=[]),
        ["studies.tuning.replicas", "a list of at least 1 item"],
    ),
    "a server without replicas": (
        lambda c: c["studies"]["tuning"].update(replicas=[0, 1]),
        ["studies.tuning.replicas", "0", "at least 1"],
    ),
    "a search of one trial, the default": (
        lambda c: c["studies"]["tuning"].update(trials=1),
        ["studies.tuning.trials", "1", "at least 2"],
    ),
    "a misspelt key of a tuning": (
        lambda c: c["studies"]["tuning"].update(batch_limit=[1]),
        ["studies.tuning.batch_limit", "'batch_limits'?"],
    ),
    "a target for a model that is none": (
        lambda c: c["studies"]["breakdown"].update(target_of={"nop": "cpu-eager"}),
        ["studies.breakdown.target_of", "'nop'", "'noop'?"],
    ),
    "a target that the study does not cover": (
        lambda c: c["studies"]["breakdown"].update(target_of={"noop": "cuda-inductor"}),
        ["studies.breakdown", "among cpu-openvino, cpu-eager (that of noop is cuda-inductor)"],
    ),
    "a precision without an end": (
        lambda c: c["profiles"]["full"]["measure"].update(precision=0.02),
        ["profiles.full.measure", "precision and max_rounds together"],
    ),
    "an end before the least rounds": (
        lambda c: c["profiles"]["full"]["measure"].update(precision=0.02, max_rounds=9),
        ["profiles.full.measure", "max_rounds of at least rounds, which is 10"],
    ),
    "a precision that asks for nothing": (
        lambda c: c["profiles"]["full"]["measure"].update(precision=0, max_rounds=20),
        ["profiles.full.measure.precision", "a number above 0"],
    ),
    "a cold start beside servers that are up": (
        lambda c: (
            c["run"].update(studies=["cold-start"]),
            c["studies"]["cold-start"].update(scenarios=["process-start", "one-caller"]),
        ),
        ["studies.cold-start.scenarios", "one-caller", "of the kind start alone"],
    ),
    "a target that is none": (
        lambda c: c["studies"]["caching"].update(targets=["cpu-openvin"]),
        ["studies.caching.targets", "'cpu-openvin'", "'cpu-openvino'?"],
    ),
    "another word than those allowed": (
        lambda c: c["models"]["minilm"]["fit"].update(autocast="bf61"),
        ["models.minilm.fit.autocast", "allowed: 'none' or 'bf16'", "'bf16'?"],
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
    assert "Input should" not in str(error.value)
    assert "Value error" not in str(error.value)


def test_a_folder_with_the_whole_set_has_more_pictures(tmp_path: Path, write: Callable[[Edit], Path]) -> None:
    for name in FILES:
        (tmp_path / name).touch()
    asked = {"path": str(tmp_path), "train": 60_000}
    params = load_params(write(lambda c: c["models"]["efficientnet-lite0"]["dataset"].update(asked)))
    dataset = params.models["efficientnet-lite0"].dataset
    assert dataset is not None
    assert dataset.train == 60_000


def test_a_value_may_be_used_again_by_its_anchor(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (REPOSITORY / "params.yaml").read_text()
    text = text.replace("optimizations: [original, quantized]\n", "optimizations: &two [original, quantized]\n", 1)
    text = text.replace(
        "optimizations: [original, quantized, pruned, sparse]\n    scen", "optimizations: *two\n    scen"
    )
    path.write_text(text)
    assert load_params(path).studies["optimization"].optimizations == ("original", "quantized")


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
