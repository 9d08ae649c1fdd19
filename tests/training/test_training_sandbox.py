"""Programs that a model wrote run apart from everything, or not at all."""

import itertools
import os
import time
from collections.abc import Callable
from math import comb

import psutil
import pytest

from training.errors import TrainingError
from training.suites.harness.programs import pass_at_k
from training.suites.harness.sandbox import Limits, NoSandbox, Ran, program_run, sandbox_check

PATIENT = Limits(seconds=30, memory_mib=256)
QUICK = Limits(seconds=1.5)


@pytest.fixture(scope="module")
def contained() -> Callable[..., Ran | None]:
    """What comes of a program; None where the machine cannot keep one apart, which must then refuse to run any."""

    def run(program: str, limits: Limits = PATIENT) -> Ran | None:
        try:
            return program_run(program, limits)
        except NoSandbox:
            return None

    able = run("pass") is not None

    def run_alike(program: str, limits: Limits = PATIENT) -> Ran | None:
        ran = run(program, limits)
        assert (ran is not None) == able, "all programs are kept apart, or all are refused"
        return ran

    return run_alike


def test_a_program_passes_when_it_runs_to_its_end(contained):
    libraries = "import collections, decimal, hashlib, heapq, itertools, json, math, random, re, string, typing"
    said = {
        "def add(a, b):\n    return a + b\nassert add(2, 3) == 5": "",
        f"{libraries}\nassert hashlib.sha256(b'x').hexdigest()": "",
        "assert 1 == 2, 'not so'": "AssertionError: not so",
        "def f(:": "SyntaxError",
    }
    for program, why in said.items():
        if ran := contained(program):
            assert (ran.passed, why in ran.why) == (why == "", True)


HOSTILE = {
    "endless loop": ("while True: pass", "took longer than 1.5 s"),
    "long sleep": ("import time; time.sleep(1000)", "took longer than 1.5 s"),
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "took longer than 1.5 s"),
    "memory": ("x = []\nwhile True: x.append(bytearray(10**7))", "MemoryError"),
    "huge file": ("f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(10**6))", "File too large"),
    "many files": ("for n in range(10**6): open(f'/tmp/{n}', 'w').close()", "No space left"),
    "much in files": ("for n in range(99): open(f'/tmp/{n}', 'wb').write(bytes(10**6))", "No space left"),
    "huge output": ("while True: print('x' * 10000)", "wrote more than 64 KiB"),
    "network": ("import socket; socket.create_connection(('127.0.0.1', 80))", "Operation not permitted"),
    "writing outside": ("open('/usr/lib/x', 'w')", "Read-only file system"),
    "writing to the root": ("open('/x', 'w')", "Read-only file system"),
    "killing its parent": (
        "import os, time\nfor pid in (1, os.getppid()):\n    os.kill(pid, 9)\ntime.sleep(0.1)\nassert False, 'alive'",
        "AssertionError: alive",
    ),
    "killing all": ("import os; os.kill(-1, 9)", "ProcessLookupError"),
    "a namespace of its own": ("import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0", "AssertionError"),
    "leaving before the tests": ("import os; os._exit(0)", "ended before its tests did"),
    "leaving politely": ("raise SystemExit(0)", "SystemExit: 0"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_fails_and_harms_nothing(contained, name):
    program, said = HOSTILE[name]
    if ran := contained(program, QUICK if "1.5 s" in said else PATIENT):
        assert not ran.passed
        assert said in ran.why


def test_nothing_of_ours_is_in_reach(contained, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret")
    (tmp_path / "secret").write_text("a-secret")
    look = f"""
import os
assert set(os.environ) <= {{"LC_CTYPE"}}, os.environ
for path in ("/proc", {str(tmp_path)!r}, {os.getcwd()!r}, "/etc/passwd", "/var", "/home", "/sys", "/run"):
    assert not os.path.exists(path), path
assert os.listdir("/tmp") == [] and os.getcwd() == "/tmp"
assert os.getuid() != 0 and os.getpid() < 10
assert sorted(os.listdir("/dev")) == ["null", "urandom", "zero"]
"""
    if ran := contained(look):
        assert ran.why == ""


def test_what_it_started_ends_with_it(contained):
    mark = str(time.time_ns())
    left = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    os.execv("/bin/sleep", ["sleep", "600.{mark}"])
time.sleep(0.1)
"""
    if ran := contained(left):
        assert ran.passed
    assert not [one for one in psutil.process_iter(["cmdline"]) if f"600.{mark}" in (one.info["cmdline"] or [])]


def test_it_is_off_unless_the_operator_says(contained, monkeypatch):
    monkeypatch.delenv("CODE_SANDBOX", raising=False)
    with pytest.raises(TrainingError, match="The sandbox for it is off: CODE_SANDBOX=on") as refused:
        sandbox_check()
    assert refused.value.kind == "no_sandbox"
    monkeypatch.setenv("CODE_SANDBOX", "on")
    if contained("pass"):
        sandbox_check()
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(TrainingError, match="cannot keep a program apart .* Linux namespaces, and this is darwin"):
        sandbox_check()


def test_pass_at_k_is_the_share_of_draws_with_a_right_one():
    for samples, right, k in [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 2), (7, 5, 4), (10, 1, 10)]:
        answers = [True] * right + [False] * (samples - right)
        share = sum(any(draw) for draw in itertools.combinations(answers, k)) / comb(samples, k)
        assert pass_at_k(samples, right, k) == pytest.approx(share)
