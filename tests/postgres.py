"""A PostgreSQL cluster of the test run's own, from the machine's binaries."""

import atexit
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOW_TO_GET_IT = "PostgreSQL's binaries are missing: run `make system` as root, or install the package postgresql."


def _binaries() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True):
        if (folder / "initdb").exists():
            return folder
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise RuntimeError(HOW_TO_GET_IT)


def start(directory: Path, port: int) -> str:
    """A cluster as in `running`, for tests; returns its DATABASE_URL. It is stopped at exit.

    Without fsync, and without autovacuum: when it looks while a test's rows are not committed it takes the tables for
    empty, and a query that then compares each row with each other one takes minutes.
    """
    cluster = running(directory, port, "-c fsync=off -c autovacuum=off")
    atexit.register(cluster.__exit__, None, None, None)
    return cluster.__enter__()


@contextmanager
def running(directory: Path, port: int, more: str = "") -> Iterator[str]:
    """Make and start a cluster under `directory`, and stop it in the end; its DATABASE_URL. more: server options.

    PostgreSQL refuses to run as root, so root hands it to the user postgres (or nobody).
    """
    binaries = _binaries()
    directory.mkdir(parents=True)
    demote = {}
    if os.geteuid() == 0:
        names = {user.pw_name for user in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        for folder in (directory, *directory.parents):
            if folder == Path("/tmp") or folder.stat().st_uid != 0 or folder == Path("/"):
                break
            folder.chmod(0o755)
        os.chown(directory, user.pw_uid, user.pw_gid)
        demote = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    cluster = directory / "data"
    run = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/", **demote}
    subprocess.run(
        [binaries / "initdb", "-D", cluster, "-U", "feedbackhub", "-A", "trust", "-E", "UTF8", "--no-sync"], **run
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' {more}"
    pg_ctl = [binaries / "pg_ctl", "-D", cluster, "-l", directory / "log", "-w"]
    subprocess.run([*pg_ctl, "-o", options, "start"], **run)
    try:
        yield f"postgres://feedbackhub@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*pg_ctl, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL, cwd="/", **demote)
