"""`inferlab bring`: results of another machine, checked before they are put beside those that are here."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from inferlab.analyze.results import ResultSet, check_provenances, load_results
from inferlab.errors import DataError, UserError
from inferlab.files import digests_of_folder
from inferlab.stages.collect import list_collected
from inferlab.studies.base import scenarios_of

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
"""What folders and files of results are called; nothing else becomes a path."""
FILES = (
    "machine.json",
    "plans/*.json",
    "optimizations/*.json",
    "artifacts/*/*/*/artifact.json",
    "quality/*/*/*/quality.json",
    "quality/*/*/*/predictions.parquet",
    "measurements/*/*/blocks.parquet",
    "measurements/*/*/requests.parquet",
    "measurements/*/*/trials.parquet",
)
"""Where collect puts what it collects; other files stay where they are."""
LAYOUT = "results/machines/<machine>/<environment>/<profile>/machine.json"


def run(root: Path, source: Path, *, replace: bool) -> str:
    """Copy every result set of `source`, and say what was brought.

    `source` is a repository, its results/ or its results/machines/. Raises UserError where it holds no result set, a
    name or link that could lead elsewhere, or other results of a set that is here (unless `replace`); ArtifactError or
    DataError naming the file that is damaged, of another version, or of another provenance than what is here. Nothing
    is copied in any of these cases.
    """
    found = _machines_of(source)
    machines = root / "results" / "machines"
    if machines.is_dir() and found.resolve() == machines.resolve():
        raise UserError(f"{source}: these are the results of this repository; name the folder of another one")
    for folder in sorted(path for path in found.glob("*/*/*") if path.is_dir()):
        _check_names(found, folder)
    brought = load_results(found)
    for results in brought:
        _read_all(results)
    here = load_results(machines) if machines.is_dir() else []
    check_provenances([*here, *brought], machines)
    texts, copied = [], []
    for results in brought:
        name = "/".join(results.key)
        destination = machines.joinpath(*results.key)
        known = digests_of_folder(destination) if destination.exists() else {}
        new = {path: digest for path, digest in digests_of_folder(results.folder).items() if _is_result(path)}
        if known == new:
            texts.append(f"{name}: here already")
            continue
        if known and not replace:
            raise UserError(f"{name}: other results of it are here; to put those of {source} in their place: --replace")
        copied.append((results, destination, list(new)))
        days = results.blocks["started_unix_s"]
        texts.append(f"{name}: {'replaced' if known else 'brought'}, {len(new)} files, {days.size:,} blocks")
    for results, destination, files in copied:
        _copy(results.folder, destination, files)
    if copied:
        list_collected(root)
    return "\n".join([*texts, "now: dvc repro -s analyze report"] if copied else texts)


def _machines_of(source: Path) -> Path:
    """The folder of machines in a repository, its results/ or itself."""
    if not source.is_dir():
        raise UserError(f"{source}: there is no such folder; name a repository, its results/ or its results/machines/")
    for found in (source / "results" / "machines", source / "machines", source):
        if any(found.glob("*/*/*/machine.json")):
            return found
    raise UserError(f"{source}: there are no results in it; looked for {LAYOUT}")


def _check_names(machines: Path, folder: Path) -> None:
    """Raise UserError for a link, a pipe or a name that no result has, on the way to a set's folder or inside it."""
    on_the_way = [machines / part for part in _parents(folder.relative_to(machines))]
    for path in (*on_the_way, *sorted(folder.rglob("*"))):
        if path.is_symlink():
            raise UserError(f"{path}: it is a link; results are plain files and folders")
        is_result = path not in on_the_way and _is_result(path.relative_to(folder).as_posix())
        # Reading from a pipe would wait for a writer, without end.
        if is_result and not path.is_file():
            raise UserError(f"{path}: it is no file; results are plain files and folders")
        if (path.is_dir() or is_result) and not NAME.fullmatch(path.name):
            raise UserError(f"{path}: {path.name!r} is no name of results; allowed: letters, digits and . _ + -")


def _parents(folder: Path) -> Iterator[Path]:
    for depth in range(1, len(folder.parts) + 1):
        yield Path(*folder.parts[:depth])


def _is_result(path: str) -> bool:
    """Whether a path inside a set's folder is one that collect writes."""
    parts = PurePosixPath(path).parts
    patterns = (pattern.split("/") for pattern in FILES)
    return any(
        len(pattern) == len(parts) and all(fnmatchcase(part, one) for part, one in zip(parts, pattern, strict=True))
        for pattern in patterns
    )


def _read_all(results: ResultSet) -> None:
    """Raise ArtifactError or DataError for a file that analyze could not read later."""
    _ = results.requests, results.stages, results.trials
    for model, optimization, target in results.quality:
        results.correct(model, optimization, target)
    for plan in results.plans.values():
        try:
            scenarios_of(plan)
        except (ValueError, KeyError) as error:
            path = results.folder / "plans" / f"{plan.study}-{plan.model}.json"
            raise DataError(f"{path}: a scenario is none that this inferlab knows: {error}") from error


def _copy(source: Path, destination: Path, files: list[str]) -> None:
    """The set appears whole: it is copied beside results/machines/ and takes its name at the end."""
    results = destination.parents[3]
    with tempfile.TemporaryDirectory(dir=results, prefix=".bring-") as folder:
        part, old = Path(folder) / "new", Path(folder) / "old"
        for name in files:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, part / name)
        destination.parent.mkdir(parents=True, exist_ok=True)
        if destination.exists():
            destination.rename(old)
        part.rename(destination)
