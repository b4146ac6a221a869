import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fakes import ScriptedHost, planned, settings

from inferlab.columns import BLOCK_COLUMNS, REQUEST_COLUMNS
from inferlab.load.block import Block, ClosedLoad
from inferlab.measure.cold_start import Start, since_start
from inferlab.measure.journal import BLOCKS, REQUESTS, Journal
from inferlab.measure.observer import Account
from inferlab.measure.starts import measure_starts
from inferlab.records import PlannedConfiguration
from inferlab.studies.base import ProcessStart

PLANNED = [planned("direct"), planned("direct", twin=True), planned("fastapi")]
READY_S = {"direct": 1.0, "fastapi": 2.0}


class Starts:
    """Starts nothing: ready after READY_S, an answer after 10 ms; others are busy in the starts `disturbed`."""

    def __init__(self, disturbed: tuple[int, ...] = (), ends_after: int = 100) -> None:
        self.started: list[str] = []
        self.blocks: set[Block] = set()
        self._disturbed = disturbed
        self._ends_after = ends_after

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        yield self.start

    def start(self, row: PlannedConfiguration, block: Block) -> Start:
        if len(self.started) == self._ends_after:
            raise KeyboardInterrupt
        self.blocks.add(block)
        busy = 150.0 if len(self.started) in self._disturbed else 0.0
        self.started.append(row.configuration.id)
        host = ScriptedHost(0.01)
        host.open = True
        ready_s = READY_S[row.configuration.path]
        result = since_start(host.run(block, lambda phase: None), ready_s)
        account = Account({"cpu_s": 1.5, "machine_cpu_other_percent": busy, "cpu_steal_percent": 0.0}, {}, "hardware")
        times = dict.fromkeys(ProcessStart.COLUMNS, 0.5)
        return Start(result, account, {**times, "ready_s": ready_s, "second_inference_s": math.nan})


def run(root: Path, starts: Starts, **changes: Any) -> int:
    steps: list[int] = []
    journal = Journal(root, "cold-start-m", "digest")
    measure_starts(PLANNED, ["process-start"], settings(**changes), starts, journal, steps.append)
    return sum(steps)


def delivered(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    Journal(root, "cold-start-m", "digest").deliver(root / "out")
    return pd.read_parquet(root / "out" / REQUESTS), pd.read_parquet(root / "out" / BLOCKS)


def test_every_configuration_is_started_once_a_round_after_a_start_that_does_not_count(tmp_path: Path) -> None:
    starts = Starts()
    assert run(tmp_path, starts) == 3 + 3 * 3
    ids = [row.configuration.id for row in PLANNED]
    assert starts.started[:3] == ids
    rounds = [starts.started[at : at + 3] for at in (3, 6, 9)]
    assert [sorted(names) for names in rounds] == [sorted(ids)] * 3
    assert len({tuple(names) for names in rounds}) > 1, "in an order of its own"
    assert [(block.load, block.max_requests, block.warmup_s) for block in starts.blocks] == [(ClosedLoad(1), 2, 0.0)]
    requests, blocks = delivered(tmp_path)
    assert list(requests.columns) == list(REQUEST_COLUMNS)
    assert set(blocks.columns) == {*BLOCK_COLUMNS, *ProcessStart.COLUMNS}
    assert (blocks["outcome"] == "measured").all()
    assert (blocks["requests_ok"] == 1).all()
    http = blocks[blocks["path"] == "fastapi"]
    assert http["latency_p50_s"].tolist() == pytest.approx([2.01] * 3), "from the process's start to the first answer"
    assert http["ready_s"].tolist() == [2.0] * 3
    for name in ("throughput_per_s", "cpu_s_per_request", "second_inference_s", "offered_rate_per_s"):
        assert blocks[name].isna().all()


def test_finished_rounds_are_not_started_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Starts(ends_after=3 + 3 + 1))
    assert Journal(tmp_path, "cold-start-m", "digest").finished_rounds() == {0}
    again = Starts()
    assert run(tmp_path, again) == 3 + 2 * 3
    whole = Starts()
    assert run(tmp_path, whole) == 0
    assert whole.started == []


def test_a_start_that_was_disturbed_is_tried_again_and_both_are_kept(tmp_path: Path) -> None:
    run(tmp_path, Starts(disturbed=(4, 8, 9)), rounds=2)
    _, blocks = delivered(tmp_path)
    tried = blocks[blocks["outcome"] == "invalid"]
    assert tried["reason"].str.contains("other processes used 150 %").all()
    attempts = blocks.groupby(["round", "configuration"])["outcome"].agg(list)
    assert sorted(map(tuple, attempts)) == [("invalid", "invalid"), ("invalid", "measured")] + [("measured",)] * 4
