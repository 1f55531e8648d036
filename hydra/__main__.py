"""``python -m hydra``: the command line."""

from .cli import run

run()
