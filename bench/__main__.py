"""make bench: repeatable benchmarks. Each writes bench/results/NAME.json and prints a table.

python -m bench                 all of them
python -m bench rating          one
"""

import argparse
import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

NAMES = ("rating", "leaderboard", "imports", "active")
RESULTS = Path(__file__).parent / "results"


def machine() -> dict:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}


def table(rows: list[dict]) -> str:
    columns = list(rows[0])
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _with_other_databases(path: Path, rows: list[dict]) -> list[dict]:
    """The rows, and those measured before on databases that were not measured now."""
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    now = {row.get("database") for row in rows}
    return [row for row in before if row.get("database") not in now] + rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of them by default")
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; these are: {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory(prefix="feedbackhub-bench-") as home:
        os.environ.update(FEEDBACKHUB_HOME=home, DJANGO_SETTINGS_MODULE="feedbackhub.settings", LOG_LEVEL="ERROR")
        os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        for name in names:
            rows = import_module(f"bench.{name}").run()
            date = datetime.now(UTC).date().isoformat()
            result = {"benchmark": name, "date": date, **machine(), "rows": rows}
            path = RESULTS / f"{name}.json"
            path.write_text(json.dumps({**result, "rows": _with_other_databases(path, rows)}, indent=1) + "\n")
            print(f"\n{name}\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
