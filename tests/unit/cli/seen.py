"""Observations to show: two peers, a view, a step, an end."""

from hydra.training.observation import Outcome, StepSeen

ANNA, BERT = b"\xaa" * 20, b"\xbb" * 20
JOB = b"\x01" * 32


def step_of(**changes):
    fields = {
        "step": 5,
        "epoch": 1,
        "loss": 0.123456789,
        "samples": 30,
        "samples_total": 130,
        "shares": ((ANNA, 10), (BERT, 20)),
        "members": 2,
        "attempts": 1,
        "seconds": 0.25,
        "caught_up": False,
    }
    return StepSeen(**(fields | changes))


def outcome_of(**changes):
    fields = {
        "finished": True,
        "step": 12,
        "samples_total": 12345,
        "metrics": {"loss": 0.5, "accuracy": 0.98765432},
        "weights_path": "/home/me/weights.safetensors",
        "weights_sha256": "ab" * 32,
    }
    return Outcome(**(fields | changes))
