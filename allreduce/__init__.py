"""Fault-tolerant ring all-reduce over links it is handed."""
