"""Run a program that a model wrote, where it can do no harm; off unless the operator of this machine switches it on.

A program runs in a process of its own in Linux namespaces of its own (sandbox_inside.py): without a network, without
our environment, files or processes, as nobody, in an empty folder, within limits of time, memory, files and processes.
Where the machine cannot do all of that nothing runs: there is no weaker way.
"""

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...errors import TrainingError

SWITCH = "CODE_SANDBOX"
INSIDE = Path(__file__).with_name("sandbox_inside.py")
START_SECONDS = 60.0  # for the sandbox itself to stand, on a busy machine
OUTPUT_BYTES = 64 * 1024
SAID = 300  # characters of an error that are kept


@dataclass(frozen=True)
class Limits:
    """seconds: of wall clock, and of each process's computing time. processes: threads count as well."""

    seconds: float = 10.0
    memory_mib: int = 512  # of address space, each process
    disk_mib: int = 16  # of its folder, which lies in memory
    processes: int = 4
    files: int = 32


@dataclass(frozen=True)
class Ran:
    """What came of a program. why: empty when it ran to its end."""

    passed: bool
    why: str = ""


class NoSandbox(Exception):
    """This machine cannot isolate a program, in words."""


def switched_on() -> bool:
    """Whether the operator of this machine allows that code of models is run here."""
    return os.environ.get(SWITCH, "").strip().lower() in ("1", "on", "true", "yes")


def sandbox_check() -> None:
    """Raise TrainingError (`no_sandbox`) unless programs may run here, and can be kept apart."""
    if not switched_on():
        message = (
            f"This suite runs code that a model wrote. The sandbox for it is off: {SWITCH}=on, set where the worker "
            "runs, switches it on; docs/operating.md says what that risks."
        )
        raise TrainingError("no_sandbox", message)
    try:
        ran = program_run("assert sum([1, 2]) == 3")
    except NoSandbox as error:
        message = f"This machine cannot keep a program apart from the rest, so none is run: {error}."
        raise TrainingError("no_sandbox", message) from None
    if not ran.passed:
        raise TrainingError("no_sandbox", f"The sandbox does not run the simplest of programs: {ran.why}.")


def program_run(program: str, limits: Limits = Limits()) -> Ran:
    """Run a Python program to its end, its tests included. Raises NoSandbox; never what the program does."""
    if sys.platform != "linux":
        raise NoSandbox(f"it takes Linux namespaces, and this is {sys.platform}")
    token = secrets.token_hex(16)
    report, report_end = os.pipe()
    output, output_end = os.pipe()
    with tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True) as root:
        python = getattr(sys, "_base_executable", "") or sys.executable
        try:
            process = subprocess.Popen(
                [python, "-I", str(INSIDE)],
                env={},
                cwd=root,
                stdin=subprocess.PIPE,
                stdout=output_end,
                stderr=output_end,
                pass_fds=(report_end,),
                start_new_session=True,
            )
        finally:
            os.close(report_end)
            os.close(output_end)
        given = {
            "program": program,
            "token": token,
            "report": report_end,
            "root": root,
            "python": os.path.realpath(python),
            "folders": [sys.base_prefix, sys.base_exec_prefix],
            "seconds": limits.seconds,
            "memory": limits.memory_mib * 1024**2,
            "disk": limits.disk_mib * 1024**2,
            "processes": limits.processes,
            "files": limits.files,
        }
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(given).encode())
                process.stdin.close()
            return _watched(process, report, output, token, limits)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(report)
            os.close(output)


def _watched(process: subprocess.Popen, report: int, output: int, token: str, limits: Limits) -> Ran:
    """Read what it says until it has ended, says too much, or its time is over."""
    said = {report: b"", output: b""}
    deadline, started = time.monotonic() + START_SECONDS, False
    with selectors.DefaultSelector() as waiting:
        for end in said:
            waiting.register(end, selectors.EVENT_READ)
        while waiting.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                if not started:
                    raise NoSandbox("the sandbox did not stand in time")
                return Ran(False, f"it took longer than {limits.seconds:g} s")
            for key, _ in waiting.select(left):
                chunk = os.read(key.fd, 65536)
                said[key.fd] += chunk
                if not chunk:
                    waiting.unregister(key.fd)
                if len(said[key.fd]) > OUTPUT_BYTES:
                    return Ran(False, f"it wrote more than {OUTPUT_BYTES // 1024} KiB")
            if not started and b"started\n" in said[report]:
                started, deadline = True, time.monotonic() + limits.seconds
    process.wait()
    if not started:
        text = (said[report] or said[output]).decode("utf-8", "replace")
        raise NoSandbox(" ".join(text.split())[-SAID:] or f"the sandbox ended with code {process.returncode}")
    words = said[report].decode("utf-8", "replace").partition("started\n")[2].strip()
    if words == token:
        return Ran(True)
    if not words:
        return Ran(False, "it ended before its tests did")
    return Ran(False, words[:SAID])
