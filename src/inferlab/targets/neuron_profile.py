"""Profiles of NeuronCores by Neuron Explorer, which the runtime writes while a process runs.

Facts: AWS Neuron SDK, "Neuron Explorer Environment Variables" and "Get started with Neuron Explorer". The runtime
writes the NEFF that it ran beside each trace, so that the artifact need not keep it.
"""

from pathlib import Path

from inferlab.targets.base import Profiling

EXPLORER_HINT = (
    "neuron-explorer is in AWS's package aws-neuronx-tools; `neuron-explorer view` serves the profile on port 3001 "
    "and its data on port 3002"
)


def neuron_profiling(out_dir: Path) -> Profiling:
    """Events of the runtime, and the first execution of each NEFF on each core instruction by instruction."""
    return Profiling(
        environment={
            "NEURON_RT_INSPECT_ENABLE": "1",
            "NEURON_RT_INSPECT_DEVICE_PROFILE": "1",
            "NEURON_RT_INSPECT_OUTPUT_DIR": str(out_dir),
        },
        summary=("neuron-explorer", "view", "-d", str(out_dir), "--output-format", "summary-text"),
        hint=EXPLORER_HINT,
    )
