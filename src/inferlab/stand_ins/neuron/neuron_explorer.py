"""Summarizes a profile like `neuron-explorer view --output-format summary-text`; refuses what is not documented.

It needs the NEFF that each trace was taken of, and says of a trace that it is a stand-in's.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Print one line a trace."""
    parser = argparse.ArgumentParser("neuron-explorer", allow_abbrev=False)
    parser.add_argument("command", choices=["view"])
    parser.add_argument("-d", "--session-dir", type=Path, required=True)
    parser.add_argument("--output-format", choices=["summary-text"], required=True)
    options = parser.parse_args()
    traces = sorted(options.session_dir.rglob("*.ntff"))
    if not traces:
        sys.exit("No profiling data")
    for trace in traces:
        number, _, core = trace.stem.partition("_instid_0_vnc_")
        if not (trace.parent / f"neff_{number}.neff").is_file():
            sys.exit(f"{trace}: the NEFF that it was taken of is not here")
        print(f"model {number} on core {core}: a stand-in ran it, nothing was measured")


if __name__ == "__main__":
    main()
