"""manage.py loop: the whole loop on real data, and one table that says what it gained."""

import logging
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from feedbackhub.catalog.services import embedded_model
from feedbackhub.core.errors import DomainError
from feedbackhub.leaderboard.selectors import ab, board
from feedbackhub.rounds import loop
from feedbackhub.rounds.models import Round
from feedbackhub.runs.models import Run

# Fixed before the evaluation rows were read for the first time (docs/loop.md).
SFT_SETTINGS = {"learning_rate": 1e-3, "epochs": 2.0, "batch_size": 8}
DPO_SETTINGS = {"learning_rate": 3e-4, "epochs": 1.0, "batch_size": 8, "beta": 0.1}


class Command(BaseCommand):
    help = (
        "Run the whole loop on real data with the embedded model: import dialogues and preferences, freeze datasets, "
        "tune with SFT and DPO, answer held-out prompts, measure ROUGE, BLEU and preference accuracy with intervals, "
        "let a simulated rater judge the blind pairs, and print one table. Stop it anywhere; run it again to go on. "
        "It takes about an hour on two cores."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder with the real data")
        parser.add_argument("--held-out", type=int, default=100, help="test dialogues that are held out (100)")
        parser.add_argument("--preferences", type=int, default=600, help="rows of preferences_train.jsonl (600)")
        parser.add_argument("--write", type=Path, help="also write the table to this Markdown file")

    def handle(self, *args, **options) -> None:
        plan = loop.Plan(
            data=options["data"],
            held_out=options["held_out"],
            preferences=options["preferences"],
            sft_settings=SFT_SETTINGS,
            dpo_settings=DPO_SETTINGS,
        )
        started = time.monotonic()
        # Everything is done here, in the foreground: that no queue or live page answers is of no interest.
        for name in ("feedbackhub.core.queue", "feedbackhub.core.live"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            loop.data_check(plan.data)
            if not (settings.EMBEDDED_MODEL_DIR / "config.json").exists():
                raise DomainError(
                    f"The embedded model is not there; fetch it with: python -m training fetch-base "
                    f"{settings.EMBEDDED_MODEL_DIR}"
                )
            report = self._loop(plan)
        except DomainError as error:
            raise CommandError(error.message) from error
        table = "\n".join(report)
        self.stdout.write("\n" + table)
        self.stdout.write(f"\n{(time.monotonic() - started) / 60:.1f} minutes in this call")
        if options["write"]:
            options["write"].write_text(table + "\n")

    def _loop(self, plan: loop.Plan) -> list[str]:
        project = loop.project_ready()
        self._head("1/6 import")
        for kind, name, lines in (
            ("prompts", "dialogues.jsonl", loop.dialogue_lines(plan)),
            ("preferences", "preferences_train.jsonl", loop.preference_lines(plan)),
        ):
            report = loop.imported(project, kind, name, lines)
            self.stdout.write(
                f"  {name}: {report.read} lines, created {report.created}, rejected {report.rejected_count}"
            )
        self._head("2/6 SFT on the dialogues")
        filters = {"demonstrations": ["references"], "categories": [loop.CATEGORY]}
        sft = loop.round_done(project, "sft", "sft", filters, plan.sft_settings, self._say)
        self._head("3/6 DPO on the preferences")
        dpo = loop.round_done(project, "dpo", "preference", {"sources": ["preferences"]}, plan.dpo_settings, self._say)
        self._head("4/6 preference accuracy")
        accuracy = {
            name: loop.preference_accuracy(plan, tuning_round, self._say)
            for name, tuning_round in (("base", None), ("dpo", dpo))
        }
        self._head("5/6 a simulated rater judges the blind pairs")
        self.stdout.write(f"  {loop.judged_by_simulation(project)} pairs judged now")
        self._head("6/6 the table")
        return report_lines(sft, dpo, accuracy, board(project=project, category=loop.CATEGORY))

    def _head(self, text: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(text))

    def _say(self, run: Run) -> None:
        tqdm.write(f"  run {run.pk} {run.recipe}: {run.state} {run.error_message}".rstrip())


# --- The table -----------------------------------------------------------------------------------------------------


def report_lines(sft: Round, dpo: Round, accuracy: dict[str, Run], standings: dict) -> list[str]:
    """The report as Markdown: text overlap, preference accuracy, cost, and the leaderboard that followed."""
    return [
        f"Run on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), embedded model "
        f"{embedded_model().name}.",
        "",
        *_overlap_lines(sft, dpo),
        "",
        *_accuracy_lines(accuracy),
        "",
        *_cost_lines([("SFT", sft.run), ("DPO", dpo.run), *((f"accuracy of {k}", v) for k, v in accuracy.items())]),
        "",
        *_verdict_lines(sft, dpo),
        "",
        *_board_lines(standings),
    ]


def _cell(value: float, lower: float | None, upper: float | None, digits: int = 2) -> str:
    text = f"{value:.{digits}f}"
    return text if lower is None else f"{text} [{lower:.{digits}f}, {upper:.{digits}f}]"


def _overlap_lines(sft: Round, dpo: Round) -> list[str]:
    """One row a metric; base, SFT and DPO with 95 % bootstrap intervals over the held-out prompts."""
    columns = {}
    for tuning_round in (sft, dpo):
        evaluation = tuning_round.follow_ups.get(step="evaluation").evaluation
        for result in evaluation.results.select_related("model"):
            columns.setdefault(result.model.name, {})[result.metric] = result
    names = [embedded_model().name, sft.model.name, dpo.model.name]
    metrics = [name for name in ("rouge1", "rouge2", "rougeL", "bleu", "chrf") if name in columns[names[0]]]
    n = columns[names[0]][metrics[0]].n
    lines = [
        f"| held-out dialogues and validation, n = {n} | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for metric in metrics:
        cells = (columns[name][metric] for name in names)
        lines.append(f"| {metric} | " + " | ".join(_cell(c.value, c.lower, c.upper) for c in cells) + " |")
    return lines


def _accuracy_lines(accuracy: dict[str, Run]) -> list[str]:
    lines = ["| preference accuracy on preferences_eval.jsonl | value [95 %] | n |", "|---|---:|---:|"]
    for name, run in accuracy.items():
        for metric, found in run.result["metrics"].items():
            if isinstance(found, dict) and "value" in found:
                cell = _cell(found["value"], found.get("lower"), found.get("upper"), 3)
                lines.append(f"| {name}: {metric} | {cell} | {found['n']} |")
    return lines


def _cost_lines(named: list[tuple[str, Run]]) -> list[str]:
    lines = ["| run | steps | tokens/s | peak memory | minutes |", "|---|---:|---:|---:|---:|"]
    for name, run in named:
        result = run.result
        minutes = (run.finished_at - run.started_at).total_seconds() / 60
        speed = f"{result['tokens_per_second']:.0f}" if result.get("tokens_per_second") else "–"
        memory = f"{result['peak_memory_bytes'] / 2**30:.2f} GiB" if result.get("peak_memory_bytes") else "–"
        lines.append(f"| {name} | {result.get('steps', '–')} | {speed} | {memory} | {minutes:.1f} |")
    return lines


def _verdict_lines(*rounds: Round) -> list[str]:
    """Each tuned model against its parent in the blind pairs that the simulated rater judged."""
    lines = [
        "| blind pairs, simulated rater (ROUGE-L) | wins | losses | ties | win rate [95 %] | sign test p | verdict |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for tuning_round in rounds:
        found = ab(project=tuning_round.project, a=tuning_round.model, b=tuning_round.base_model)
        rate = _cell(found["win_rate"], found["lower"], found["upper"], 3)
        counts = f"{found['wins_a']} | {found['wins_b']} | {found['ties']}"
        lines.append(
            f"| {found['a']} against {found['b']} | {counts} | {rate} | {found['p_value']:.2g} | {found['verdict']} |"
        )
    return lines


def _board_lines(standings: dict) -> list[str]:
    lines = [
        f"Leaderboard of the category {loop.CATEGORY}, Bradley–Terry, "
        f"{standings['votes']} votes of the simulated rater:",
        "",
        "| rank | model | rating [95 %] | wins | losses | ties | votes |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    rated = sorted(standings["rows"], key=lambda row: (row["rating"] is None, -(row["rating"] or 0)))
    for row in rated:
        rating = "–" if row["rating"] is None else _cell(row["rating"], row["lower"], row["upper"], 0)
        rank = row["rank"] or row["status"]
        counts = " | ".join(str(row[name]) for name in ("wins", "losses", "ties", "votes"))
        lines.append(f"| {rank} | {row['model']} | {rating} | {counts} |")
    return lines
