"""The command line: one command for each stage of the pipeline, named like it.

Exit code 0: done; 1: our error or the machine's; 2: the user's; 130: Ctrl-C.
"""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from inferlab.errors import InferlabError, UnknownNameError, UserError
from inferlab.measure.exclusive import end_with_the_pipeline, exclusive
from inferlab.params import Params, load_params, select_profile

app = typer.Typer(
    help="Reproducible inference benchmarks: optimize, compile, serve, measure, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ROOT = Path()
OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Imports and torch.export make many objects that stay; at Python's threshold looking for cycles in them was a fifth
of an export's time. Servers are processes of their own and keep Python's."""

Model = Annotated[str, typer.Option(help="A row of params.yaml models.")]
Optimization = Annotated[str, typer.Option(help="A row of params.yaml optimizations.")]
Study = Annotated[str, typer.Option(help="A row of params.yaml studies.")]
Notebook = Annotated[str, typer.Option(help="One notebook in notebooks/, without its suffix, instead of all.")]


def _stage(name: str, **cell: str) -> None:
    """Run one stage: check params.yaml first, hold the lock, end with the pipeline."""
    params = load_params(ROOT / "params.yaml")
    _require_defined(params, cell)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    end_with_the_pipeline()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with exclusive(ROOT, " ".join(["inferlab", name.replace("_", "-"), *filter(None, cell.values())])):
            importlib.import_module(f"inferlab.stages.{name}").run(params, ROOT, **cell)
    except KeyboardInterrupt:
        print("inferlab: stopped; finished rounds are kept and the next run goes on from them", file=sys.stderr)
        raise typer.Exit(130) from None


def _require_defined(params: Params, cell: dict[str, str]) -> None:
    """Raise UnknownNameError where an option names no row of params.yaml; names are folders that a stage empties."""
    rows: dict[str, Mapping[str, object]] = {
        "model": params.models,
        "optimization": params.optimizations,
        "study": params.studies,
    }
    for option, name in cell.items():
        if option in rows and name not in rows[option]:
            raise UnknownNameError(f"--{option}", name, rows[option])


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@app.command()
def profile(name: Annotated[str, typer.Argument(help="A row of params.yaml profiles.")]) -> None:
    """Select the profile of the next run in params.yaml."""
    select_profile(ROOT / "params.yaml", name)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    self_test: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Instead run this target dry, on stand-ins for its device.")
    ] = None,
) -> None:
    """Say which targets and telemetry are here, why not and how to get them, and what hinders measurements."""
    from inferlab.doctor.command import run, run_self_test

    if self_test is None:
        run(ROOT, as_json=as_json)
    elif not run_self_test(self_test, as_json=as_json):
        raise typer.Exit(1)


@app.command(name="device-profile")
def device_profile(
    model: Model,
    optimization: Optimization,
    out: Annotated[Path, typer.Option(help="Empty or new folder for the profile.")],
    target: Annotated[str, typer.Option(help="A target whose vendor has a profiler.")] = "inf2-neuronx",
    batch_size: Annotated[int, typer.Option(min=1, max=1024, help="Items of the batches that are run.")] = 1,
) -> None:
    """Run a few batches of an artifact under its device's own profiler, and print the profiler's summary."""
    from inferlab.device_profile import run

    params = load_params(ROOT / "params.yaml")
    _require_defined(params, {"model": model, "optimization": optimization})
    artifact = ROOT / "build" / "artifacts" / model / optimization / target
    with exclusive(ROOT, f"inferlab device-profile {model} {optimization}"):
        print(run(params.models[model], artifact, target, batch_size, out))


@app.command()
def probe() -> None:
    """Describe this machine: results/machine.json."""
    _stage("probe")


@app.command()
def build() -> None:
    """Prepare, optimize, compile and evaluate several models at once, each by `dvc repro` on cores of its own."""
    _stage("build")


@app.command()
def prepare(model: Model) -> None:
    """Fit a model's real weights on its data: build/prepared/."""
    _stage("prepare", model=model)


@app.command()
def optimize(model: Model, optimization: Optimization) -> None:
    """Run an optimization's recipe on a prepared model: build/optimized/."""
    _stage("optimize", model=model, optimization=optimization)


@app.command(name="compile")
def compile_(model: Model, optimization: Optimization) -> None:
    """Compile an optimized model for each target of the run: build/artifacts/."""
    _stage("compile", model=model, optimization=optimization)


@app.command()
def evaluate(model: Model, optimization: Optimization) -> None:
    """Measure the quality of each target's artifact on labelled data: results/quality/."""
    _stage("evaluate", model=model, optimization=optimization)


@app.command()
def plan(study: Study, model: Model) -> None:
    """Decide what a study measures on this machine: results/plans/."""
    _stage("plan", study=study, model=model)


@app.command(name="serve-and-measure")
def serve_and_measure(study: Study, model: Model) -> None:
    """Serve and load every configuration of a study in interleaved rounds: results/measurements/."""
    _stage("serve_and_measure", study=study, model=model)


@app.command()
def serve(
    deployments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=MODEL,OPTIMIZATION,TARGET[,KEY=VALUE…]",
            help="What to serve, any number. Keys: cores (such as 0-3), replicas, batching (dynamic or none), "
            "max_batch_size, queue_limit (items that may wait), timeout_ms (deadline of a request), cache_mib (answers "
            "to keep), batch_limit_ms (a batch that takes longer counts as hung, and its replica is replaced).",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A YAML file with deployments: a mapping of names to model, optimization, …")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    grace_s: Annotated[
        float, typer.Option(min=0.0, max=3600.0, help="How long accepted requests may take to finish after SIGTERM.")
    ] = 30.0,
    max_connections: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Connections that may be open; what comes beyond gets 503.")
    ] = 1000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with a bearer token to ask for, on everything but health; else INFERLAB_TOKEN."),
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file of the certificate chain, for HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
) -> None:
    """Serve compiled models over HTTP: Open Inference Protocol, /predict, SageMaker, Vertex AI, /metrics, /docs."""
    from inferlab.deploy import parse_deployment, read_deployments
    from inferlab.serve.running import Tls
    from inferlab.serve_command import ServeOptions
    from inferlab.serve_command import serve as run

    if (tls_certificate is None) != (tls_key is None):
        raise UserError("--tls-certificate and --tls-key belong together")
    tls = None if tls_certificate is None else Tls(str(tls_certificate), str(tls_key))
    specs = [*(read_deployments(file) if file else []), *map(parse_deployment, deployments or [])]
    options = ServeOptions(host, port, grace_s, max_connections, token_file, tls)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    raise typer.Exit(run(specs, options, load_params(ROOT / "params.yaml"), ROOT))


@app.command()
def collect() -> None:
    """Copy results to results/machines/ and log them to MLflow."""
    _stage("collect")


@app.command()
def analyze() -> None:
    """Do the statistics: results/tables/ and results/comparisons.csv."""
    _stage("analyze")


@app.command()
def report(notebook: Notebook = "") -> None:
    """Execute the notebooks and render them: reports/."""
    _stage("report", notebook=notebook)


@app.command()
def bring(
    source: Annotated[Path, typer.Argument(help="Another repository, its results/ or its results/machines/.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put them in the place of other results of a set.")
    ] = False,
) -> None:
    """Check the results that another machine measured, and put them beside those that are here."""
    from inferlab.bring_command import run

    load_params(ROOT / "params.yaml")
    with exclusive(ROOT, f"inferlab bring {source}"):
        print(run(ROOT, source, replace=replace))


@app.command()
def compare(
    blocks: Annotated[
        Path, typer.Option(help="CSV or Parquet file with the columns configuration, round and value, a row a block.")
    ],
    baseline: Annotated[str, typer.Option(help="The configuration that the others are compared with.")],
    twin: Annotated[
        str | None, typer.Option(help="The baseline's second measurement (A/A), whose difference is the noise floor.")
    ] = None,
    higher_is_better: Annotated[
        bool, typer.Option("--higher-is-better", help="The value is a rate and not a time.")
    ] = False,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals and verdicts.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say which configurations of any table of rounds are better or worse than a baseline, and which are a tie."""
    from inferlab.compare_command import run

    print(run(blocks, baseline, twin, higher_is_better=higher_is_better, confidence=confidence, as_json=as_json))


@app.command()
def load(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="http:// or https://. GET, or POST where there is a --body.")
    ],
    scenario: Annotated[
        str, typer.Option(help="closed: each client waits for its answer; open: at moments that wait for nobody.")
    ] = "closed",
    clients: Annotated[int | None, typer.Option(help="Of the closed loop; 1 where it is not given.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests per second of the open loop.")] = None,
    arrivals: Annotated[
        str | None, typer.Option(help="Of the open loop: constant (the default), poisson, gamma, ramp or trace.")
    ] = None,
    variation: Annotated[
        float | None, typer.Option(help="gamma: the gaps' standard deviation / mean; 1 is Poisson, 2 the default.")
    ] = None,
    ramp_to: Annotated[
        float | None, typer.Option(help="ramp: the rate at the end; --rate is that at the start.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="trace: a file with a timestamp in seconds a line, or a column timestamp_s.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds that are measured; 10 where no rule is given.")
    ] = None,
    min_duration: Annotated[float | None, typer.Option(help="Stop rule: measure so many seconds at least.")] = None,
    min_requests: Annotated[int | None, typer.Option(help="Stop rule: and so many answered requests.")] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="Stop rule: until half the mean latency's 95 % interval is this share of it, such as 0.02."),
    ] = None,
    max_duration: Annotated[float | None, typer.Option(help="Stop rule: seconds at most; 300 by default.")] = None,
    warmup: Annotated[
        str | None,
        typer.Option(help="Seconds before the measured part (1; 0 for a trace), or auto to find its end by MSER-5."),
    ] = None,
    body: Annotated[
        list[Path] | None, typer.Option(help="File to POST; several are sent in turn.", show_default=False)
    ] = None,
    header: Annotated[list[str] | None, typer.Option(help="'Name: value', any number.", show_default=False)] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a request is given up.")] = 30.0,
    seed: Annotated[int, typer.Option(min=0, help="Of random arrivals.")] = 1,
    requests_out: Annotated[
        Path | None, typer.Option(help="Parquet file to write with a row for every request, warm-up marked.")
    ] = None,
    core: Annotated[int | None, typer.Option(help="Pin the client to this core.")] = None,
    ceiling: Annotated[
        bool, typer.Option("--ceiling", help="First measure how many requests per second the client can send.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Load any server over HTTP: throughput, latency from the moment a request was due, and the client's own limits."""
    from inferlab.load_command import run
    from inferlab.load_options import LoadOptions

    options = LoadOptions(
        url=url,
        scenario=scenario,
        clients=clients,
        rate=rate,
        arrivals=arrivals,
        variation=variation,
        ramp_to=ramp_to,
        trace=trace,
        duration=duration,
        min_duration=min_duration,
        min_requests=min_requests,
        max_duration=max_duration,
        precision=precision,
        warmup=warmup,
        bodies=body or (),
        headers=header or (),
        timeout=timeout,
        seed=seed,
        requests_out=requests_out,
        core=core,
        ceiling=ceiling,
    )
    try:
        raise typer.Exit(run(options, as_json=as_json))
    except KeyboardInterrupt:
        print("inferlab: stopped; nothing was measured", file=sys.stderr)
        raise typer.Exit(130) from None


def main() -> None:
    """Entry point of the console script. Command-line mistakes end with exit code 2 inside typer."""
    try:
        app()
    except InferlabError as error:
        print(f"inferlab: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
