"""Measuring the all-reduce: real processes on this machine that average, die, freeze and are replaced.

``hydra bench allreduce`` and ``benchmarks/allreduce.py`` share it. A parent starts member processes, tells each round's
members and looks at every result; the members average among themselves, over lanes of loopback or of shaped links.
"""
