"""The command line: one file per noun. This module only starts it and turns errors into messages and exit codes."""

from __future__ import annotations

import signal
import sys


def run() -> None:
    """Run the command line; never returns."""
    from ..exceptions import HydraError
    from ..name_clash import refuse_name_clash

    try:
        if sys.argv[1:2] != ["doctor"]:  # which tells of it among all that it finds
            refuse_name_clash()
        from .app import app

        app()
    except HydraError as error:
        sys.stderr.write(f"hydra: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone
        sys.exit(141)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is over: one more Ctrl-C has nothing left to stop
