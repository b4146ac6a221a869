"""Which candidates a machine permits, and which of them a search tries next."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from inferlab.records import Candidate, SearchSpace

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 4
"""So many trials are drawn at random before the sampler learns from them; Optuna's ten would be most of a search."""
PROPOSALS = 50
"""So often Optuna is asked for a candidate that was not tried yet, before one is drawn at random."""


@dataclass(frozen=True)
class Space:
    """The candidates whose replicas fit on `cores` cores, each on `threads` of its own. Values ascend.

    Replicas on an accelerator share these cores and have `device_cores` of its own.
    """

    default: Candidate
    batch_limits: tuple[int, ...]
    threads: tuple[int, ...]
    replicas: tuple[int, ...]
    cores: int
    device_cores: int | None = None

    @classmethod
    def here(cls, asked: SearchSpace, cores: int, max_batch_size: int, device_cores: int | None = None) -> Self:
        """What of `asked` fits on this machine; the default, one replica on all cores, belongs to it in any case.

        With `device_cores` the model runs on an accelerator, of which each replica needs a core; threads do not vary.
        """
        on_cpu = device_cores is None
        limits = {*asked.batch_limits, max_batch_size}
        threads = {cores, *(count for count in asked.threads if count <= cores and on_cpu)}
        places = cores if device_cores is None else device_cores
        replicas = {1, *(count for count in asked.replicas if count <= places)}
        default = Candidate(batch_limit=max_batch_size, threads=cores, replicas=1)
        return cls(default, tuple(sorted(limits)), tuple(sorted(threads)), tuple(sorted(replicas)), cores, device_cores)

    def candidates(self) -> list[Candidate]:
        """All of them."""
        return [
            Candidate(batch_limit=limit, threads=threads, replicas=replicas)
            for threads in self.threads
            for replicas in self._replicas(threads)
            for limit in self.batch_limits
        ]

    def suggested(self, trial: "Trial") -> Candidate:
        """What Optuna suggests. Its parameters are places in the sorted values, so that near ones are alike."""
        limit = self.batch_limits[trial.suggest_int("batch_limit", 0, len(self.batch_limits) - 1)]
        threads = self.threads[trial.suggest_int("threads", 0, len(self.threads) - 1)]
        permitted = self._replicas(threads)
        replicas = permitted[trial.suggest_int("replicas", 0, len(permitted) - 1)]
        return Candidate(batch_limit=limit, threads=threads, replicas=replicas)

    def tried(self, candidate: Candidate, value: float | None) -> "FrozenTrial":
        """A trial of the past as Optuna has it: failed where it has no value."""
        from optuna.distributions import IntDistribution
        from optuna.trial import TrialState, create_trial

        values = {
            "batch_limit": (self.batch_limits, candidate.batch_limit),
            "threads": (self.threads, candidate.threads),
            "replicas": (self._replicas(candidate.threads), candidate.replicas),
        }
        return create_trial(
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            value=value,
            params={name: among.index(one) for name, (among, one) in values.items()},
            distributions={name: IntDistribution(0, len(among) - 1) for name, (among, _) in values.items()},
        )

    def _replicas(self, threads: int) -> tuple[int, ...]:
        if self.device_cores is not None:
            return self.replicas
        return tuple(count for count in self.replicas if count * threads <= self.cores)


def propose(space: Space, found: Mapping[Candidate, float | None], seed: int) -> Candidate | None:
    """What to try after these, which have a value or failed; None where all candidates were tried.

    The default comes first, then what Optuna's sampler (TPE) proposes to make the value large. A candidate that was
    tried is not proposed again: one more value would say little of it and take the place of another. The answer depends
    on the arguments alone, so that a search that was interrupted goes on as it would have.
    """
    left = [candidate for candidate in space.candidates() if candidate not in found]
    if not left or not found:
        return space.default if left else None
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=(seed + len(found)) % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([space.tried(candidate, value) for candidate, value in found.items()])
    for _ in range(PROPOSALS):
        candidate = space.suggested(study.ask())
        if candidate in left:
            return candidate
    return random.Random(f"{seed}/{len(found)}").choice(left)
