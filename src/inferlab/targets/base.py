"""What a target is: a device together with the engine that compiles for it.

A target says whether it is here (`probe`), what it can do (`supports`), builds artifacts (`compile`) and runs them
(`load`). One file a target; it registers itself in TARGETS. Importing a target's file imports no engine.
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from inferlab.records import Accelerator, ArtifactRecord, CompiledBinary, Frozen, Precision, Provenance
from inferlab.registry import Registry
from inferlab.targets.source import Source

if TYPE_CHECKING:
    import numpy as np

    from inferlab.models.base import Model
    from inferlab.targets.operators import OperatorEvidence


RARE_PRECISIONS: frozenset[Precision] = frozenset({"fp8"})
"""Those that a target does only where it says so: one that never heard of them would compute in another."""


class Availability(Frozen):
    """Whether a target is here; if not, `reason` says why and `hint` how to get one."""

    available: bool
    reason: str = ""
    hint: str = ""


class Session(Protocol):
    """A loaded artifact. `thread_safe` says whether `run` may be called from several threads at once."""

    thread_safe: bool

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Input tensors [batch, ...] by name -> outputs [batch, ...] by name, owned by the caller.

        The device is synchronized when this returns. Raises ValueError where the batch is larger than any compiled one.
        """

    def close(self) -> None:
        """Free the device. `run` must not be called afterwards."""


@dataclass(frozen=True)
class Built:
    """What `compile` says about the files that it wrote."""

    batch_sizes: tuple[int, ...]
    operators: OperatorEvidence
    versions: dict[str, str]
    settings: dict[str, str] = field(default_factory=dict)
    """What the engine was told or chose that changes numbers or speed, where that is not plain from the precision."""
    build_time_s: float | None = None
    """What the compiler took, where that is not the time of the call: it may have been on another day."""
    binaries: tuple[CompiledBinary, ...] = ()


@dataclass(frozen=True)
class Placement:
    """Where a process that runs a session belongs."""

    cpu_cores: tuple[int, ...]
    environment: dict[str, str] = field(default_factory=dict)
    """What tells the engine which part of the device is its own; read before the engine is imported."""


@dataclass(frozen=True)
class Profiling:
    """A vendor's profile of a device: what the profiled process has in its environment, and who summarizes it."""

    environment: dict[str, str]
    summary: tuple[str, ...]
    """A program with its arguments, which prints text."""
    hint: str
    """How to get the program, and how to look further."""


def everywhere(environment: dict[str, str]) -> Placement:
    """A process on every CPU core that this one may use."""
    return Placement(tuple(sorted(os.sched_getaffinity(0))), environment)


class Target(ABC):
    """A device and an engine.

    `engine` names the modules that answer for the device, each with the distribution that owns it on real hardware.
    """

    name: ClassVar[str]
    engine: ClassVar[dict[str, str]]
    on_cpu: ClassVar[bool] = False
    """Whether several processes can use the device at once, each on its cores."""
    any_shape: ClassVar[bool] = False
    """Whether artifacts also run inputs that are shorter than the model's specification says."""
    exclusive: ClassVar[bool] = False
    """Whether a core of the device belongs to one process, from its first load until its end."""
    rare_precisions: ClassVar[frozenset[Precision]] = frozenset()
    """Of RARE_PRECISIONS, those that the engine can be asked for."""
    stand_ins: ClassVar[str] = ""
    """The name of the stand-ins for the device and its engine (inferlab.stand_ins), where there are any."""

    @abstractmethod
    def probe(self) -> Availability:
        """Whether device and engine are here. Cheap: imports neither torch nor the engine."""

    def compiles_ahead(self) -> str:
        """How another machine takes what `compile` makes where the device is not here; empty where it makes nothing."""
        return ""

    def accelerators(self) -> tuple[Accelerator, ...]:
        """The accelerators of this kind that the machine has."""
        return ()

    @abstractmethod
    def supports(self, precision: Precision) -> str | None:
        """None, or why the engine cannot lower to `precision`. Asked through `refusal`, which knows the rare ones."""

    def refusal(self, precision: Precision) -> str | None:
        """None, or why nothing is built in `precision`, as far as it is known without building."""
        if precision in RARE_PRECISIONS and precision not in self.rare_precisions:
            return f"no route to {precision} is built into {self.name}"
        return self.supports(precision)

    @abstractmethod
    def compile(
        self,
        model: Model,
        source: Source,
        precision: Precision,
        calibration: dict[str, np.ndarray] | None,
        batch_sizes: Sequence[int],
        out_dir: Path,
    ) -> Built:
        """Build the artifact's files in the empty folder `out_dir`.

        `calibration` holds input tensors [samples, ...] by name where the precision needs them. Raises Unsupported.
        """

    @abstractmethod
    def load(self, model: Model, artifact_dir: Path, record: ArtifactRecord, cores: tuple[int, ...]) -> Session:
        """Load an artifact that was checked before, for batches up to the largest of `record.batch_sizes`.

        As many threads as `cores` has; the caller pins the process.
        """

    def provenance(self) -> Provenance:
        """`hardware` where every module of the engine belongs to its distribution, else `fake`. Imports the engine."""
        return "hardware" if all(owned(module, owner) for module, owner in self.engine.items()) else "fake"

    def placement(self, cores: tuple[int, ...]) -> Placement:
        """The process of a session on these cores of the device; on a CPU they are the process's own."""
        return Placement(cores)

    def device_cores(self) -> int | None:
        """Cores of the device that a process has which was given none; None where they are not counted."""
        return None

    def profiling(self, out_dir: Path) -> Profiling | None:
        """How a process of this target has the device's own profile written to `out_dir`; None where there is none."""
        return None

    def replicas_at_most(self) -> int | None:
        """How many replicas can have a core of the device each; 1 where it is not shared out, None on a CPU."""
        if self.on_cpu:
            return None
        return sum(one.cores for one in self.accelerators()) if self.exclusive else 1

    def versions(self) -> dict[str, str]:
        """Versions of the engine's distributions; where one is not installed, what its module calls itself."""
        return {owner: installed_version(owner, module) for module, owner in self.engine.items()}


TARGETS: Registry[type[Target]] = Registry("target", "inferlab.targets")


def installed_version(owner: str, module: str | None = None) -> str:
    """The version of an installed distribution, else `__version__` of `module`, else "not installed"."""
    try:
        return version(owner)
    except PackageNotFoundError:
        if module is None:
            return "not installed"
        try:
            return str(getattr(importlib.import_module(module), "__version__", "unknown"))
        except ModuleNotFoundError:
            return "not installed"


def owned(module: str, owner: str) -> bool:
    """Whether the module that Python imports under this name is a file of the distribution `owner`."""
    try:
        installed = distribution(owner)
    except PackageNotFoundError:
        return False
    file = getattr(importlib.import_module(module), "__file__", None)
    if file is None:
        return False
    name = Path(file).name
    candidates = (path for path in installed.files or () if path.name == name)
    return any(Path(str(path.locate())).resolve() == Path(file).resolve() for path in candidates)
