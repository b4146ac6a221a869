"""Answers per second, without the bias of a block's edges."""

import numpy as np


def closed_loop_throughput(
    caller: np.ndarray, scheduled_s: np.ndarray, done_s: np.ndarray, answered: np.ndarray
) -> float:
    """Sum over callers of (its answered requests / time from its first scheduled moment to its last done one).

    All arrays are of the measured requests [requests]; `answered` is bool. A caller always has exactly one request
    under way, so its requests fill its own span without a gap: nobody is counted as idle while others finish.
    """
    total = 0.0
    for one in np.unique(caller):
        own = caller == one
        span_s = float(done_s[own].max() - scheduled_s[own].min())
        total += float(answered[own].sum()) / span_s
    return total


def open_loop_throughput(done_s: np.ndarray, answered: np.ndarray, start_s: float, end_s: float) -> float:
    """Requests answered inside [start_s, end_s) per second of that window.

    The arrays are of all requests, warm-up included: in a steady state as many requests of the warm-up are answered
    inside the window as measured ones are answered after it, so the edges cancel. The count is whole, so one request
    more or less is its resolution. An overloaded server shows its capacity.
    """
    inside = (done_s >= start_s) & (done_s < end_s) & answered
    return float(inside.sum()) / (end_s - start_s)
