from pathlib import Path
from typing import Any

import pytest

from inferlab import deploy
from inferlab.deploy import DeploymentSpec, build_deployments, parse_deployment, read_deployments
from inferlab.errors import ArtifactError, InferlabError, UserError
from inferlab.params import Params, load_params
from inferlab.records import ArtifactRecord
from inferlab.targets.base import TARGETS, Availability, Placement

REPOSITORY = Path(__file__).parents[2]
NOOP = "noop,original,cpu-eager"


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(REPOSITORY / "params.yaml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a manifest for noop, and one that says why minilm has no artifact."""
    for model, optimization, outcome in (("noop", "original", "measured"), ("minilm", "quantized", "unsupported")):
        ArtifactRecord(
            model=model,
            optimization=optimization,
            target="cpu-eager",
            precision="fp32",
            outcome=outcome,  # type: ignore[arg-type]
            reason="" if outcome == "measured" else "no int8 there",
            batch_sizes=(1, 2, 4, 8),
        ).write(tmp_path / "build/artifacts" / model / optimization / "cpu-eager/artifact.json")
    return tmp_path


def test_a_deployment_is_written_in_one_word() -> None:
    spec = parse_deployment(f"a.b-1={NOOP},cores=0-1,3,replicas=2,batching=none,max_batch_size=4,timeout_ms=250.5")
    assert spec == DeploymentSpec(
        name="a.b-1",
        model="noop",
        optimization="original",
        target="cpu-eager",
        cores="0-1,3",
        replicas=2,
        batching="none",
        max_batch_size=4,
        timeout_ms=250.5,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noop", "'noop' is no deployment; expected name=model,optimization,target"),
        ("a=noop,original", "is no deployment"),
        ("a=noop,original,cores=1", "is no deployment"),
        (f"a={NOOP},4", "'4' is not allowed; expected key=value"),
        (f"a={NOOP},replicas=2,replicas=3", "each key once"),
        (f"a={NOOP},replcas=2", "'replcas' is not allowed; allowed: model, .* Did you mean 'replicas'?"),
        (f"a={NOOP},replicas=0", "replicas: '0' is not allowed"),
        (f"a={NOOP},replicas=two", "replicas: 'two' is not allowed"),
        (f"a={NOOP},batching=static", "batching: 'static' is not allowed"),
        (f"a={NOOP},timeout_ms=nan", "timeout_ms: 'nan' is not allowed"),
        (f"a/b={NOOP}", "name: 'a/b' is not allowed"),
        (f"={NOOP}", "name: '' is not allowed"),
    ],
)
def test_what_is_wrong_with_it_is_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_deployment(text)


def test_a_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(
        "deployments:\n"
        "  a: {model: noop, optimization: original, target: cpu-eager, cores: 0, replicas: 2}\n"
        "  b: {model: noop, optimization: original, target: cpu-eager, timeout_ms: 5}\n"
    )
    assert read_deployments(path) == [
        parse_deployment(f"a={NOOP},cores=0,replicas=2"),
        parse_deployment(f"b={NOOP},timeout_ms=5"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("deployment: {}", "serve.yaml: deployment: 'unknown section'"),
        ("deployments: {a: {b: .inf}}", "serve.yaml: deployments.a.b: inf is not allowed"),
        ("deployments:\n  a: 1\n  a: 2", "serve.yaml: a stands in line 2 and again in line 3"),
        ("deployments: []", "expected a mapping of names to rows"),
        ("deployments: {a: noop}", "deployments.a: expected a mapping of model"),
        ("deployments: {a: {model: noop, optimization: o, target: t, replicas: '2'}}", "replicas: '2' is not allowed"),
        ("deployments: {a: {model: noop, optimization: o}}", "target: .* is not allowed"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_row(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_deployments(path)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], UserError, "nothing to serve"),
        ([f"a={NOOP}", f"a={NOOP}"], UserError, "'a' is named twice"),
        (["a=nop,original,cpu-eager"], UserError, "unknown model of deployment 'a': 'nop'.*'noop'"),
        (["a=noop,orginal,cpu-eager"], UserError, "unknown optimization of deployment 'a'.*'original'"),
        (["a=noop,original,cpu-egaer"], UserError, "unknown target 'cpu-egaer'.*'cpu-eager'"),
        (["a=noop,original,inf2-neuronx"], UserError, "inf2-neuronx is not available: no AWS Neuron tools"),
        (["a=noop,pruned,cpu-eager"], ArtifactError, "no artifact; make it with: dvc repro compile@noop-pruned"),
        (["a=minilm,quantized,cpu-eager"], UserError, "is unsupported: no int8 there"),
        ([f"a={NOOP},max_batch_size=9"], UserError, "9 is above 8, the largest compiled size"),
        ([f"a={NOOP},cores=0-"], UserError, "cores: '0-' is not allowed"),
        ([f"a={NOOP},cores=0,replicas=2"], UserError, "cores: 0 are fewer than its 2 replicas"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_starts(
    texts: list[str], error: type[InferlabError], message: str, params: Params, root: Path
) -> None:
    with pytest.raises(error, match=message):
        build_deployments([parse_deployment(text) for text in texts], params, root)


def test_a_deployment_has_the_limits_that_were_asked_for(params: Params, root: Path) -> None:
    asked = [parse_deployment(f"a={NOOP},queue_limit=7,timeout_ms=250"), parse_deployment(f"b={NOOP},max_batch_size=2")]
    built = build_deployments(asked, params, root)
    assert list(built) == ["a", "b"]
    assert built["a"].batcher.queue_limit == 7
    assert built["a"].batcher.max_batch_size == 8
    assert built["a"].timeout_s == 0.25
    assert built["a"].prepare == built["a"].model.prepare_predict
    assert (built["a"].optimization, built["a"].target) == ("original", "cpu-eager")
    assert built["b"].batcher.max_batch_size == 2


class OneAccelerator(TARGETS.get("inf2-neuronx")):  # type: ignore[misc]
    """As if the device were here."""

    def probe(self) -> Availability:
        return Availability(available=True)


def places(params: Params, monkeypatch: pytest.MonkeyPatch, *texts: str) -> dict[str, list[tuple[int, ...]]]:
    monkeypatch.setattr(deploy.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})  # type: ignore[attr-defined]
    rows: list[tuple[DeploymentSpec, Any]] = []
    for text in texts:
        spec = parse_deployment(text)
        rows.append((spec, OneAccelerator() if spec.target == "inf2-neuronx" else TARGETS.get(spec.target)()))
    return deploy._places(rows)


def test_replicas_share_the_cores_of_their_deployment(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    found = places(
        params, monkeypatch, f"a={NOOP},replicas=2", f"b={NOOP},cores=1-3,replicas=2", f"c={NOOP},replicas=5"
    )
    assert found == {"a": [(0, 1), (2, 3)], "b": [(1, 2), (3,)], "c": [(0,), (1,), (2,), (3,), (0,)]}


def test_an_accelerators_core_belongs_to_one_replica(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    neuron = "noop,original,inf2-neuronx"
    found = places(params, monkeypatch, f"a={neuron},cores=0,2", f"b={neuron},replicas=3", f"c={neuron},cores=6-7")
    assert found == {"a": [(0, 2)], "b": [(1,), (3,), (4,)], "c": [(6, 7)]}
    with pytest.raises(UserError, match="core 2 of inf2-neuronx has another deployment already"):
        places(params, monkeypatch, f"a={neuron},cores=0-2", f"b={neuron},cores=2")


def test_an_accelerators_process_sees_its_own_cores_alone() -> None:
    neuron = TARGETS.get("inf2-neuronx")().placement((2, 3))
    assert neuron.environment == {"NEURON_RT_VISIBLE_CORES": "2-3"}
    cuda = TARGETS.get("cuda-inductor")().placement((1,)).environment
    assert cuda == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1"}
    assert TARGETS.get("cpu-openvino")().placement((1,)) == Placement((1,))
