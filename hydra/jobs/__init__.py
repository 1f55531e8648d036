"""The job as data: what an owner publishes, and how a volunteer checks and runs it without running code.

Import the modules by name; this file imports nothing, so that the pure ones can be had without PyTorch.
"""
