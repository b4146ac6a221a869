"""`inferlab compare`: the pipeline's statistics for a table that was measured elsewhere."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from inferlab.analyze.compare import Comparison, Comparisons, compare, read_blocks


def run(
    blocks: Path, baseline: str, twin: str | None, *, higher_is_better: bool, confidence: float, as_json: bool
) -> str:
    """What is printed. Raises UserError for what is wrong with the file or the names."""
    found = compare(read_blocks(blocks), baseline, higher_is_better=higher_is_better, confidence=confidence, twin=twin)
    return json.dumps(_plain(dataclasses.asdict(found)), indent=1) if as_json else _text(found)


def _plain(value: Any) -> Any:
    """JSON has no NaN: what could not be computed is null."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(found: Comparisons) -> str:
    width = max(len("configuration"), *(len(one.configuration) for one in found.comparisons))
    lines = [f"{'configuration':{width}}  {'ratio':>7}  {'interval':>17}  {'Holm p':>8}  verdict"]
    lines += [_line(one, width, found.twin) for one in found.comparisons]
    better = "higher" if found.higher_is_better else "lower"
    floor = "no A/A twin" if found.noise_floor is None else f"noise floor of the A/A twin ×{found.noise_floor:.4f}"
    lines += [
        "",
        f"Ratio to {found.baseline}, paired by round; {better} is better; "
        f"{100 * found.confidence:g} % intervals; {floor}.",
        f"{found.rounds} rounds, which count for {found.effective_rounds:.1f} independent ones "
        f"(autocorrelation {found.autocorrelation:.2f}).",
    ]
    return "\n".join(lines)


def _line(one: Comparison, width: int, twin: str | None) -> str:
    verdict = one.verdict or ("the A/A twin" if one.configuration == twin else "too few rounds in common")
    if one.verdict == "tie":
        more = "no number of rounds" if one.rounds_needed is None else f"{one.rounds_needed:,} more rounds"
        verdict = f"tie ({more} would separate it)"
    interval = f"{one.ratio_low:.4f} to {one.ratio_high:.4f}"
    p_adjusted = "< 0.0001" if one.p_adjusted < 0.0001 else f"{one.p_adjusted:.4f}"
    p_adjusted = "–" if math.isnan(one.p_adjusted) else p_adjusted
    return f"{one.configuration:{width}}  {one.ratio:7.4f}  {interval:>17}  {p_adjusted:>8}  {verdict}"
