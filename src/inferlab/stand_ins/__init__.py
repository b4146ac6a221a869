"""Stand-ins for devices: they refuse what the device refuses, and compute on the CPU what it would compute.

Nothing here is on Python's path or on PATH unless `install` puts it there. What they answer has provenance `fake`,
since no file of them belongs to the distribution that owns the engine.
"""
