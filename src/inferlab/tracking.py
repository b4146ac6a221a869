"""MLflow: every step, artifact, quality and measurement is a run, once, however often it is logged.

One parent run stands for a machine, environment and profile. A run carries the digest of its content, so that content
that is already there is not logged again, and everything is logged again into an empty database. Which digests are
there is asked of the database itself: no ledger can get lost. A run counts once it is finished.
"""

import json
import os
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from inferlab.errors import UserError
from inferlab.files import digest_of
from inferlab.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from inferlab.analyze.results import ResultSet
    from inferlab.analyze.runs import RunContent

EXPERIMENT = "inferlab"
DIGEST = "inferlab.content_digest"
SET = "inferlab.set"
KIND = "inferlab.kind"
SUPERSEDED = "inferlab.superseded"
PARENT = "mlflow.parentRunId"
TAG_LIMIT = 5000
"""Characters that MLflow stores of a tag's value."""


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file in the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def sync_runs(
    root: Path,
    digests: Mapping[str, Mapping[str, str]],
    scenarios: Mapping[str, Sequence[str]],
    open_loop: Collection[str],
    confidence: float,
) -> int:
    """Log what the tracking server does not have yet of the sets under results/machines/; return how many runs.

    `digests` are the checksums of each such set's files, by `<machine>/<environment>/<profile>`; sets that it does not
    name are left alone. Where SQLite already has every set, this neither imports nor starts MLflow. Raises UserError
    where the server cannot be used.
    """
    wanted = {name: digest_of([dict(files), confidence]) for name, files in digests.items()}
    uri = tracking_uri(root)
    if not wanted or wanted.items() <= _sets_in_sqlite(uri).items():
        return 0
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from inferlab.analyze.results import load_results
    from inferlab.analyze.runs import runs_of

    _quiet()
    _commit_fast()
    logged = 0
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, root, uri)
        parents = {run.data.tags[SET]: run for run in _search(client, experiment_id, f"tags.`{KIND}` = 'set'")}
        for results in load_results(root / "results" / "machines"):
            name = "/".join(results.key)
            if name not in wanted:
                continue
            if name in parents and parents[name].data.tags.get(DIGEST) == wanted[name]:
                continue
            contents = list(runs_of(results, scenarios, open_loop, confidence))
            logged += _sync_set(client, experiment_id, parents.get(name), results, contents, wanted[name])
    except MlflowException as error:
        raise UserError(f"MLflow at {uri} cannot be used ({error}); check MLFLOW_TRACKING_URI") from error
    return logged


def _sets_in_sqlite(uri: str) -> dict[str, str]:
    """Digest of each set that an SQLite database has whole, read without MLflow; empty where it is no such database."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or not path.is_file():
        return {}
    query = (
        "SELECT name.value, digest.value FROM runs"
        " JOIN tags AS name ON name.run_uuid = runs.run_uuid AND name.key = ?"
        " JOIN tags AS digest ON digest.run_uuid = runs.run_uuid AND digest.key = ?"
        " WHERE runs.lifecycle_stage = 'active'"
    )
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
            return dict(connection.execute(query, (SET, DIGEST)).fetchall())
    except sqlite3.OperationalError:
        return {}  # no tables yet: MLflow creates them when it opens the file


def _quiet() -> None:
    """Database migrations at the first use are no news."""
    import logging

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _commit_fast() -> None:
    """Let SQLite write ahead instead of syncing the disk at each of MLflow's six commits a run; still crash-safe."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _write_ahead):
        event.listen(Engine, "connect", _write_ahead)


def _write_ahead(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")


def _experiment(client: "MlflowClient", root: Path, uri: str) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    location = (root.resolve() / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))


def _sync_set(
    client: "MlflowClient",
    experiment_id: str,
    parent: "Run | None",
    results: "ResultSet",
    contents: "list[RunContent]",
    set_digest: str,
) -> int:
    """Log the runs of one set that are not there, and mark those that the set no longer holds."""
    name = "/".join(results.key)
    machine = _machine_tags(results)
    if parent is not None:
        parent_id = parent.info.run_id
    else:
        parent_id = client.create_run(
            experiment_id, run_name=name, tags={SET: name, KIND: "set", **machine}
        ).info.run_id
        client.log_dict(parent_id, results.machine.model_dump(mode="json"), "machine.json")
    there: dict[str, Run] = {}
    for run in _search(client, experiment_id, f"tags.`{PARENT}` = '{parent_id}'"):
        if DIGEST in run.data.tags and run.info.status == "FINISHED":
            there[run.data.tags[DIGEST]] = run
        else:
            client.delete_run(run.info.run_id)  # logging it was interrupted
    current = {content.digest: content for content in contents}
    new = [content for digest, content in current.items() if digest not in there]
    with progress(len(new), f"MLflow runs of {name}") as advance, TemporaryDirectory() as folder:
        for content in new:
            _log(client, experiment_id, {PARENT: parent_id, **machine}, content, Path(folder) / "record.json")
            advance(1)
    for digest, run in there.items():
        _mark(client, run, superseded=digest not in current)
    client.set_tag(parent_id, DIGEST, set_digest)
    client.set_terminated(parent_id, "FINISHED")
    return len(new)


def _log(
    client: "MlflowClient", experiment_id: str, common: dict[str, str], content: "RunContent", record: Path
) -> None:
    """One run, with the tags that all runs of its set have in `common`; `record` is a file to write its artifact to.

    All tags are given at its creation, since each call is a transaction; half a run is told by not being finished.
    """
    from mlflow.entities import Metric, Param
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    own = {KIND: content.kind, **content.tags, DIGEST: content.digest}
    tags = {**common, **{name: value[:TAG_LIMIT] for name, value in own.items() if value}}
    run = client.create_run(experiment_id, run_name=content.name, tags=tags)
    record.write_text(json.dumps(content.record, indent=2, sort_keys=True), encoding="utf-8")
    repository: Any = get_artifact_repository(run.info.artifact_uri, tracking_uri=client.tracking_uri)
    repository.log_artifact(str(record))
    now_ms = int(time.time() * 1000)
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, now_ms, 0) for name, value in content.metrics.items()],
        params=[Param(name, value) for name, value in content.params.items()],
    )
    client.set_terminated(run.info.run_id, "FINISHED")


def _mark(client: "MlflowClient", run: "Run", superseded: bool) -> None:
    marked = SUPERSEDED in run.data.tags
    if superseded and not marked:
        client.set_tag(run.info.run_id, SUPERSEDED, "true")
    if marked and not superseded:
        client.delete_tag(run.info.run_id, SUPERSEDED)


def _search(client: "MlflowClient", experiment_id: str, wanted: str) -> "list[Run]":
    found: list[Any] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], filter_string=wanted, max_results=1000, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def _machine_tags(results: "ResultSet") -> dict[str, str]:
    machine = results.machine
    return {
        "machine_id": machine.machine_id,
        "environment_id": machine.environment_id,
        "profile": results.profile,
        "cpu_model": machine.cpu_model,
        "logical_cores": str(machine.logical_cores),
        "memory_gib": str(machine.memory_gib),
        "accelerators": ", ".join(found.name for found in machine.accelerators) or "none",
        "python": machine.python,
    }
