"""Answers like neuron-ls on an inf2.xlarge; refuses what it does not know."""

import json
import sys

if sys.argv[1:] != ["--json-output"]:
    sys.exit(f"unknown arguments {sys.argv[1:]}")
device = {
    "neuron_device": 0,
    "bdf": "00:1f.0",
    "cpu_affinity": "0-3",
    "numa_node": "0",
    "connected_to": [],
    "nc_count": 2,
    "memory_size": 34359738368,
    "neuroncore_ids": [0, 1],
    "neuron_processes": [],
}
print(json.dumps([device]))
