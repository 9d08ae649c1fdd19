"""make bench: repeatable benchmarks. Each writes bench/results/NAME.json and prints a table.

python -m bench                  all but peers, ratings, coverage, and training's roles, methods, reward and packing
python -m bench rating crowd     some
python -m bench --quick rating   small and short, to see whether it works; writes nothing
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from .methods_page import page_write, with_earlier
from .servers import postgresql, valkey
from .training import plot

# What each is measured on; with DATABASE_URL, on that alone.
DATABASES = {
    "rating": ("sqlite", "postgresql"),
    "crowd": ("sqlite", "postgresql"),
    "leaderboard": ("sqlite", "postgresql"),
    "imports": ("sqlite",),
    "active": ("sqlite",),
    "training": ("sqlite",),
    "coverage": ("sqlite",),
    "ratings": ("sqlite",),
    "verdicts": ("sqlite",),
    "peers": ("postgresql",),
    "roles": ("sqlite",),
    "methods": ("sqlite",),
    "reward": ("sqlite",),
    "packing": ("sqlite",),
}
# Label Studio and Potato are a gigabyte to install, what rates beside us half a one; four roles train, and thousands of
# simulations run, for minutes.
OPTIONAL = {"peers", "ratings", "roles", "coverage", "methods", "reward", "packing"}
RESULTS = Path(__file__).parent / "results"


def machine() -> dict:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}


def table(rows: list[dict]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DATABASES)}")
    parser.add_argument("--quick", action="store_true", help="small and short; writes nothing")
    parser.add_argument("--here", metavar="FILE", help=argparse.SUPPRESS)  # one benchmark, its rows into FILE
    given = parser.parse_args()
    names = given.names or [name for name in DATABASES if name not in OPTIONAL]
    if unknown := set(names) - set(DATABASES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; these are: {', '.join(DATABASES)}")
    if given.here:
        Path(given.here).write_text(json.dumps(_measured(names[0])))
        return
    # What misses its goals is written down all the same.
    failed = [name for name in names if not _benchmark(name, given.quick)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _benchmark(name: str, quick: bool) -> bool:
    """Run it, on each database in a process of its own with its own home; False when one of them failed."""
    rows, missed, began = [], [], datetime.now(UTC)
    for database in ("given",) if "DATABASE_URL" in os.environ else DATABASES[name]:
        with tempfile.TemporaryDirectory(prefix="feedbackhub-bench-") as folder, ExitStack() as stack:
            home = Path(folder)
            environment = {**os.environ, "FEEDBACKHUB_HOME": str(home), "LOG_LEVEL": "ERROR"}
            environment["REDIS_URL"] = stack.enter_context(valkey(home / "valkey"))
            if database == "postgresql":
                environment["DATABASE_URL"] = stack.enter_context(postgresql(home / "postgresql"))
            environment["BENCH_PEERS"] = str(Path(os.environ.get("FEEDBACKHUB_HOME", "var")).resolve() / "peers")
            environment["BENCH_METHODS"] = str(Path(os.environ.get("FEEDBACKHUB_HOME", "var")).resolve() / "methods")
            environment["BENCH_BASE"] = os.environ.get("FEEDBACKHUB_TEST_BASE") or str(
                Path(os.environ.get("FEEDBACKHUB_HOME", "var")).resolve() / "models" / "smollm2-135m"
            )
            if quick:
                environment |= {"BENCH_QUICK": "1", "BENCH_METHODS": str(home / "methods")}
            command = [sys.executable, "-m", "bench", name, "--here", str(home / "rows.json")]
            if subprocess.run(command, env=environment).returncode:
                return False
            found = json.loads((home / "rows.json").read_text())
            rows += found["rows"]
            missed += found["missed"]
    print(f"\n{name}\n{table(rows)}", *(f"goal missed: {goal}" for goal in missed), sep="\n", flush=True)
    if not quick:
        result = {"benchmark": name, "date": began.date().isoformat(), **machine(), "rows": rows}
        if name == "methods":
            result = with_earlier(result, json.loads((RESULTS / "methods.json").read_text()))
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        if name == "methods":
            page_write(result)
        if name == "training":
            plot(rows, RESULTS / "training.svg")
    return not missed or quick


def _measured(name: str) -> dict:
    """{rows, missed}: what was measured, and the goals, in words, that it is under."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "feedbackhub.settings"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    benchmark = import_module(f"bench.{name}")
    rows = benchmark.run()
    return {"rows": rows, "missed": benchmark.missed(rows) if hasattr(benchmark, "missed") else []}


if __name__ == "__main__":
    main()
