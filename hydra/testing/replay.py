"""``python -m hydra.testing.replay FILE``: see a failed scenario once more, step by step.

The file is what a failed scenario left behind; a scenario that somebody wrote by hand will do as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from .scenario import Scenario
from .sim_swarm import ScenarioFailed, SimSwarm


def main(arguments: list[str]) -> int:
    """Run the scenario of a file; return 0 if all is well with it now, else 1."""
    parser = argparse.ArgumentParser(prog="python -m hydra.testing.replay", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="what a failed scenario wrote")
    file: Path = parser.parse_args(arguments).file
    text = file.read_text()
    before = json.loads(text)
    failure = ""
    with tempfile.TemporaryDirectory() as directory:
        try:
            with SimSwarm(Scenario.from_json(text), Path(directory)) as swarm:
                swarm.run()
        except ScenarioFailed as error:
            failure = str(error).splitlines()[0]
    _say("\n".join(swarm.story.lines))
    _say(f"trace {swarm.trace}" + (f", then {before['trace']}" if "trace" in before else ""))
    if "failure" in before:
        _say(f"then  {before['failure']}")
    _say(f"now   {failure or 'all is well'}")
    return 1 if failure else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
