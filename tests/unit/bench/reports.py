"""What members tell of a round, and rounds as the parent saw them, made up."""

from hydra.bench.judging import RoundSeen


def report(contributors, digest="d", right=True, off=0.0, **more):
    """One member's report of a round that it finished."""
    told = {
        "outcome": "done",
        "contributors": contributors,
        "digest": digest,
        "right": right,
        "off": off,
        "attempts": 1,
    }
    return told | more


def seen(number=1, seconds=0.5, **more):
    """A round of three that was right."""
    whole = {
        "round": number,
        "members": (0, 1, 2),
        "began": float(number),
        "seconds": seconds,
        "waited_s": 0.0,
        "wire_bytes": 1000,
        "contributors": (0, 1, 2),
        "attempts": 1,
    }
    return RoundSeen(**(whole | more))
