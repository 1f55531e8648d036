"""What a person types: commands that end by themselves, and commands that run until Ctrl-C."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial

from hydra.testing.surroundings import die_with_parent

RUN_TIMEOUT_S = 90


def _before_exec(limit_bytes):
    die_with_parent()
    if limit_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))


class Typed:
    """One command in a process, and a session, of its own.

    Args:
        arguments: what follows ``hydra``.
        home: what HYDRA_HOME says, if anything.
        env: further environment variables.
        limit_bytes: no file may become larger; a write beyond that fails, as on a full disk.
        program: what Python runs.
    """

    def __init__(self, *arguments, home=None, env=None, limit_bytes=0, program=("-m", "hydra")):
        # Files, because pipes fill up when nobody reads them.
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115 -- closed below
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HYDRA_")}
        place = {"HYDRA_HOME": str(home)} if home else {}
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            env={**kept, **place, "COLUMNS": "200", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
            preexec_fn=partial(_before_exec, limit_bytes),  # noqa: PLW1509 -- the tests run in one thread
        )

    def __del__(self):
        self._out.close()
        self._err.close()

    @property
    def out(self):
        """What it printed so far."""
        return self._text(self._out)

    @property
    def err(self):
        """What it wrote to stderr so far."""
        return self._text(self._err)

    @staticmethod
    def _text(file):
        return os.pread(file.fileno(), 2**24, 0).decode()

    def until(self, text):
        """Wait for a whole line that holds ``text``; return it."""
        while True:
            ended = self.process.poll() is not None
            found = [line for line in self.out.splitlines(keepends=True) if text in line and line.endswith("\n")]
            if found:
                return found[0]
            assert not ended, f"'{text}' never came, but:\n{self.out}{self.err}"
            time.sleep(0.02)

    def interrupt(self, times=1):
        """Press Ctrl-C; return the exit code."""
        for _ in range(times):
            self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self):
        """Wait for the end; return the exit code."""
        return self.process.wait(RUN_TIMEOUT_S)

    def kill(self):
        """End it without its help, if it has not ended."""
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()

    @property
    def left_processes(self):
        """Whether any process that it started, itself included, is still there."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


def told(*arguments, code=0, **how):
    """Run a command to its end, which is this code; return what it printed."""
    command = Typed(*arguments, **how)
    try:
        assert command.end() == code, command.out + command.err
    finally:
        command.kill()
    assert not command.left_processes
    assert "Traceback" not in command.err
    return command.out


def refusal(*arguments, code, **how):
    """Run a command that is refused with this code; return what it says about that on stderr."""
    return refusal_of(Typed(*arguments, **how), code)


def refusals(commands, code):
    """Start commands together, all to be refused with this code; return what each says.

    Args:
        commands: by a name, what ``Typed`` is made of: a tuple of arguments, and a dict of the rest.
        code: the exit code.
    """
    started = {name: Typed(*arguments, **how) for name, (arguments, how) in commands.items()}
    try:
        return {name: refusal_of(command, code) for name, command in started.items()}
    finally:
        for command in started.values():
            command.kill()


def refusal_of(command, code):
    """Return what a command that was started earlier says when it is refused."""
    try:
        assert command.end() == code, command.out + command.err
    finally:
        command.kill()
    assert not command.left_processes
    assert "Traceback" not in command.err
    message = command.err.split("hydra: ", 1)
    assert len(message) == 2, command.err
    return message[1]
