"""`inferlab doctor --self-test`: a dry run of a target on stand-ins for its device.

It shows that the target's code does what the device's documentation asks for, where there is no device. It measures
nothing: what answers is a test double, and so is the provenance of all that comes of it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from inferlab.child import HANDSHAKE_TIMEOUT_S, TERMINATE_GRACE_S, Child
from inferlab.doctor.abilities import telemetry_abilities
from inferlab.doctor.self_test_model import SelfTestModel
from inferlab.errors import InferlabError, MeasurementError, UserError
from inferlab.load.block import Block, ClosedLoad
from inferlab.load.process import LoadProcess
from inferlab.machine import describe_machine
from inferlab.records import ArtifactRecord, CorePlan, Frozen, OptimizationRecord, Precision, Provenance
from inferlab.serve.process import ServerProcess
from inferlab.stand_ins.install import STAND_INS
from inferlab.targets.base import TARGETS, Target
from inferlab.targets.compiling import compile_apart
from inferlab.targets.loading import SessionFactory

if TYPE_CHECKING:
    import numpy as np

WATERMARK = "DRY RUN ON STAND-INS: NO DEVICE ANSWERED, NOTHING WAS MEASURED"
BATCH_SIZES = (1, 4)
TOLERANCE = 1e-5
"""A stand-in computes on the CPU what the module computes."""


class Step(Frozen):
    """One step of the dry run, and what came of it."""

    name: str
    outcome: Literal["passed", "failed"]
    found: str


class SelfTest(Frozen):
    """The dry run of a target. `provenance` is that of the modules that answered."""

    schema_version: Literal[1] = 1
    watermark: str = WATERMARK
    target: str
    provenance: Provenance
    steps: tuple[Step, ...]

    @property
    def passed(self) -> bool:
        """Whether every step did."""
        return all(step.outcome == "passed" for step in self.steps)


def self_test(name: str) -> SelfTest:
    """Run a target dry, in a folder that is gone afterwards; ends at the first step that fails.

    Raises UnknownNameError for a target that no file registers, UserError for one without stand-ins.
    """
    kind = TARGETS.get(name)
    if not kind.stand_ins:
        able = ", ".join(target for target in TARGETS if TARGETS.get(target).stand_ins)
        raise UserError(f"--self-test {name!r} is not allowed; allowed: {able}: others have no stand-ins")
    steps: list[Step] = []
    # Relative folders, such as that of compiled files, are the dry run's own.
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        STAND_INS[kind.stand_ins](Path(folder, "device")),
    ):
        run = _Run(kind(), Path(folder))
        for step, found in run.steps():
            try:
                steps.append(Step(name=step, outcome="passed", found=found()))
            except InferlabError as error:
                steps.append(Step(name=step, outcome="failed", found=str(error)))
                break
        return SelfTest(target=name, provenance=run.provenance, steps=tuple(steps))


class _Run:
    """A dry run; each step gives what it found, or raises InferlabError."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._plan: CorePlan = describe_machine([]).core_plan
        self._model = SelfTestModel(name="self-test", family="noop")
        self._inputs = self._model.preprocess(self._model.example_samples(BATCH_SIZES[-1] - 1, seed=1))
        self._artifacts: dict[Precision, ArtifactRecord] = {}

    @property
    def provenance(self) -> Provenance:
        """Of the artifacts, where there are any, else of the engine that is found here: of the modules that answer."""
        found = [record.provenance for record in self._artifacts.values()] or [self._target.provenance()]
        return "hardware" if set(found) == {"hardware"} else "fake"

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """In turn, each with its name."""
        yield "probe the device", self._probe
        yield "read its telemetry", self._telemetry
        for precision in get_args(Precision):
            if self._target.refusal(precision) is not None:
                continue
            yield f"compile {precision}", partial(self._compile, precision)
        yield "run fp32", partial(self._run, "fp32")
        yield "serve over HTTP", self._serve

    def _probe(self) -> str:
        here = self._target.probe()
        if not here.available:
            raise MeasurementError(here.reason)
        return ", ".join(f"{one.name}: {one.cores} cores" for one in self._target.accelerators())

    def _telemetry(self) -> str:
        found = [one for one in telemetry_abilities(self._plan.load) if one.of_accelerators]
        here = [one.name for one in found if one.outcome == "available"]
        if not here:
            raise MeasurementError("; ".join(one.reason for one in found))
        return ", ".join(here)

    def _compile(self, precision: Precision) -> str:
        optimization = OptimizationRecord(
            model=self._model.name, optimization=precision, precision=precision, outcome="measured"
        )
        record = compile_apart(
            self._model, optimization, self._optimized[0], self._target.name, BATCH_SIZES, self._artifact(precision)
        )
        if record.outcome != "measured":
            raise MeasurementError(f"{record.outcome}: {record.reason}")
        self._artifacts[precision] = record
        sizes = "; ".join(f"batch {one.batch_size}: {one.size_bytes} bytes" for one in record.binaries)
        note = record.engagement.note if record.engagement else ""
        return "; ".join(filter(None, (sizes, note)))

    def _run(self, precision: Precision) -> str:
        """In a process of its own, and a second one is refused where a core belongs to one process."""
        import numpy as np

        refused = ""
        with self._session(precision) as outputs:
            worst = float(np.abs(outputs["embedding"] - self._optimized[1]).max())
            try:
                with self._session(precision):
                    pass
            except MeasurementError as error:
                refused = str(error).splitlines()[0]
        if not worst <= TOLERANCE:
            raise MeasurementError(f"outputs differ from the module's by {worst:g}")
        if self._target.exclusive and not refused:
            raise MeasurementError("two processes had the same core")
        found = f"outputs within {worst:.1g} of the module's"
        return f"{found}; a second process on the core is refused: {refused}" if refused else found

    def _serve(self) -> str:
        factory = SessionFactory(self._artifact("fp32"), self._model, self._plan.server)
        block = Block(ClosedLoad(2), 0.0, 0.5, timeout_s=30.0, max_requests=20)
        server = ServerProcess("fastapi", factory, self._model, "dynamic", BATCH_SIZES[-1], self._plan.server)
        payload = {name: array[:1] for name, array in self._inputs.items()}
        with server, LoadProcess(self._plan.load) as load:
            result = load.run(server.requests([payload]), block)
        answered = int((result.columns["status"] == "ok").sum())
        if result.first_error or not answered:
            raise MeasurementError(f"the server failed: {result.first_error or 'no answer'}")
        return f"{answered} requests answered, none failed"

    @cached_property
    def _optimized(self) -> tuple[Path, np.ndarray]:
        """The folder that the optimize stage would leave, and what its module gives for our inputs."""
        import torch

        folder = self._folder / "optimized"
        module = self._model.write_optimized(folder)
        with torch.inference_mode():
            outputs: np.ndarray = module(torch.from_numpy(self._inputs["input_ids"])).numpy()
        return folder, outputs

    def _artifact(self, precision: Precision) -> Path:
        return self._folder / "artifacts" / precision

    @contextlib.contextmanager
    def _session(self, precision: Precision) -> Iterator[dict[str, np.ndarray]]:
        """What a session in a process of its own answers; the process lives as long as the context."""
        factory = SessionFactory(self._artifact(precision), self._model, self._plan.server)
        child = Child("session", session_worker, (factory, self._inputs), self._plan.server)
        try:
            yield child.receive(HANDSHAKE_TIMEOUT_S, "running a batch")
        finally:
            child.stop(grace_s=TERMINATE_GRACE_S)


def session_worker(connection: Connection, factory: SessionFactory, inputs: dict[str, np.ndarray]) -> None:
    """Send what a session gives for `inputs`, and keep the session until the pipe is closed."""
    session = factory()
    connection.send(session.run(inputs))
    connection.recv()
