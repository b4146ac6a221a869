"""`inferlab load`: its figures for people."""

from collections.abc import Mapping
from typing import Any

from inferlab.load.block import Block, ClosedLoad

LATENCIES = {
    "latency_mean_s": "mean",
    "latency_p50_s": "p50",
    "latency_p90_s": "p90",
    "latency_p95_s": "p95",
    "latency_p99_s": "p99",
    "latency_p999_s": "p99.9",
    "latency_max_s": "max",
    "latency_first_s": "first request",
}


def as_text(found: Mapping[str, Any], block: Block) -> str:
    """`found` has the figures of the block; what could not be computed is None and left out."""
    if isinstance(block.load, ClosedLoad):
        how = f"closed loop, {block.load.callers} client{'s' * (block.load.callers > 1)}"
    else:
        offered = found["offered_rate_per_s"]
        how = "open loop" + ("" if offered is None else f", {offered:,.1f} requests/s offered")
    settled = found["warmup_s"]
    warmup = "the latency did not settle" if settled is None else f"{settled:.2f} s of warm-up apart"
    lines = [("outcome", found["outcome"])]
    lines += [(name, found[name]) for name in ("reason", "advice") if found[name]]
    lines += [
        ("scenario", how),
        ("measured", f"{found['duration_s']:.2f} s; {warmup}"),
        (
            "requests",
            ", ".join(f"{found[f'requests_{kind}']:,} {kind}" for kind in ("ok", "error", "timeout", "rejected")),
        ),
    ]
    lines += [("first failure", found["first_error"])] if found["first_error"] else []
    lines += [
        ("throughput", f"{found['throughput_per_s']:,.1f} requests/s"),
        ("latency", "; ".join(_latency(name, found) for name in LATENCIES if found[name] is not None) or "none"),
    ]
    told = {
        name.removeprefix("server_"): value for name, value in found.items() if name.startswith("server_") and value
    }
    if told:
        lines.append(("server's means", "; ".join(_told(name, value) for name, value in told.items())))
    lines.append(("client", _client(found)))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {text}" for name, text in lines)


def _latency(name: str, found: Mapping[str, Any]) -> str:
    text = f"{LATENCIES[name]} {found[name] * 1e3:.3f}"
    half_width_s = found["latency_mean_half_width_s"]
    if name == "latency_mean_s" and half_width_s is not None:
        text += f" ± {half_width_s * 1e3:.3f}"
    return f"{text} ms"


def _told(name: str, value: float) -> str:
    if name.endswith("_mean_s"):
        return f"{name.removesuffix('_mean_s')} {value * 1e3:.3f} ms"
    return f"batch size {value:.2f}"


def _client(found: Mapping[str, Any]) -> str:
    parts = []
    if found["schedule_lag_p99_s"] is not None:
        parts.append(f"p99 of its lag {found['schedule_lag_p99_s'] * 1e3:.3f} ms")
    if found["client_cpu_percent"] is not None:
        parts.append(f"{found['client_cpu_percent']:.0f} % of its core")
    if found["ceiling_per_s"] is not None:
        parts.append(f"sends at most {found['ceiling_per_s']:,.0f} requests/s")
    return "; ".join(parts)
