"""The whole loop on real data, through the services that the pages use: import, freeze, tune, answer, measure, judge.

Each step looks into the database for what is already done, so the loop can be stopped anywhere and run again. Work
that belongs to a job is done here, in the foreground, unless a worker holds its lease; then it is waited for.
"""

import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from feedbackhub.accounts.models import User
from feedbackhub.catalog.content import text_of
from feedbackhub.catalog.jobs import generation_run
from feedbackhub.catalog.services import embedded_model
from feedbackhub.core.errors import DomainError
from feedbackhub.evaluation.jobs import evaluation_run
from feedbackhub.imports.models import Import
from feedbackhub.imports.services import import_create, import_run
from feedbackhub.projects.models import Membership, Project, Role
from feedbackhub.projects.services import member_add, project_create
from feedbackhub.rating.services import judgment_record, task_next
from feedbackhub.runs import services as runs
from feedbackhub.runs.models import FINISHED, Run, RunState

from . import follow_up, services
from .datasets import dataset_freeze
from .jobs import round_run
from .models import FollowUp, PreferenceDataset, Round

SLUG = "loop"
SUMMARISE = "Summarise this dialogue in one or two sentences.\n\n{dialogue}"
CATEGORY = "dialogue"
SIMULATED_RATER = "simulated-rouge-judge"


@dataclass(frozen=True)
class Plan:
    """How much of the data is used. The defaults are the documented run's."""

    data: Path
    held_out: int = 100
    validation: int = 20
    preferences: int = 600
    sft_settings: dict | None = None
    dpo_settings: dict | None = None


def read(path: Path) -> Iterator[dict]:
    """The rows of a .jsonl or .jsonl.gz file."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def data_check(data: Path) -> None:
    names = ("dialogues.jsonl", "preferences_train.jsonl", "preferences_eval.jsonl")
    if missing := [name for name in names if not (data / name).is_file()]:
        raise DomainError(f"{', '.join(missing)} not found in {data}; name the folder with --data.")


def project_ready() -> Project:
    """The loop's project and its admin, made once."""
    owner, _ = User.objects.get_or_create(username="loop", defaults={"is_superuser": True})
    project = Project.objects.filter(slug=SLUG).first() or project_create(
        by=owner,
        slug=SLUG,
        name="The loop on real data",
        guidelines="Prefer the summary that says what was said, and no more.",
    )
    Membership.objects.get_or_create(project=project, user=owner, role=Role.ADMIN)
    return project


# --- Import ------------------------------------------------------------------------------------------------------


def dialogue_lines(plan: Plan) -> Iterator[dict]:
    """Dialogues as prompts: dev rows train (the last few of them validate), the first test rows are held out."""
    rows = list(read(plan.data / "dialogues.jsonl"))
    dev = [row for row in rows if row["split"] == "dev"]
    test = [row for row in rows if row["split"] == "test"][: plan.held_out]
    cut = len(dev) - plan.validation
    parts = [("train", dev[:cut]), ("validation", dev[cut:]), ("test", test)]
    for split, chosen in parts:
        for row in chosen:
            yield {
                "id": row["id"],
                "prompt": SUMMARISE.format(dialogue=row["dialogue"]),
                "references": row["references"],
                "category": CATEGORY,
                "split": split,
            }


def preference_lines(plan: Plan) -> Iterator[dict]:
    """The first rows of the training preferences, all in the train split; the evaluation file is another one."""
    for number, row in enumerate(read(plan.data / "preferences_train.jsonl")):
        if number == plan.preferences:
            return
        kept = ("id", "messages", "chosen", "rejected", "chosen_model", "rejected_model", "source")
        yield {**{name: row[name] for name in kept if row.get(name) is not None}, "split": "train"}


def imported(project: Project, kind: str, name: str, lines: Iterable[dict]) -> Import:
    """The lines, imported through the imports room; what was imported before is not imported again."""
    content = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    report = Import.objects.filter(project=project, filename=name, kind=kind).exclude(status="failed").first()
    if report is None:
        import io

        report = import_create(
            project=project, by=project.created_by, kind=kind, file=io.BytesIO(content), filename=name
        )
    while report.status in ("pending", "running"):
        import_run(report.pk)
        report.refresh_from_db()
        if report.status in ("pending", "running"):
            time.sleep(0.5)
    if report.status == "failed":
        raise DomainError(f"The import of {name} failed: {report.error}")
    return report


# --- Tune, and what follows ----------------------------------------------------------------------------------------


def finished(run: Run, job: Callable[[int], None], say: Callable[[Run], None]) -> Run:
    """The run, brought to its end by its own job here or, while a worker holds it, there."""
    if run.state in (RunState.DRAFT, RunState.STOPPED, RunState.FAILED):
        runs.run_queue(run=run)
    while True:
        job(run.pk)
        run.refresh_from_db()
        say(run)
        if run.state in FINISHED:
            return run
        time.sleep(1)


def round_done(
    project: Project, recipe: str, kind: str, filters: dict, settings: dict, say: Callable[[Run], None]
) -> Round:
    """A round of `recipe` from the embedded base, launched if there is none, followed up to its blind pairs."""
    tuning_round = Round.objects.filter(project=project, recipe=recipe).order_by("number").first()
    if tuning_round is None:
        dataset = PreferenceDataset.objects.filter(project=project, kind=kind).order_by("pk").first()
        dataset = dataset or dataset_freeze(project=project, by=project.created_by, kind=kind, filters=filters)
        tuning_round = services.round_create(
            project=project,
            by=project.created_by,
            recipe=recipe,
            base_model=embedded_model(),
            dataset=dataset,
            settings=settings,
        )
    if tuning_round.run.state != RunState.COMPLETED:
        finished(tuning_round.run, round_run, say)
    if tuning_round.run.state != RunState.COMPLETED:
        raise DomainError(f"{tuning_round} {tuning_round.run.state}: {tuning_round.run.error_message}")
    services.round_complete(run=tuning_round.run)
    tuning_round.refresh_from_db()
    followed_up(tuning_round, say)
    return tuning_round


def followed_up(tuning_round: Round, say: Callable[[Run], None]) -> None:
    """Every follow-up step of the round, done here. A step that failed is an error: the loop must not hide it."""
    while open_steps := tuning_round.follow_ups.filter(status__in=("pending", "running")):
        for step in open_steps.order_by("pk"):
            parts = list(step.generation.parts.all()) if step.generation else []
            for part in parts:
                finished(part.run, generation_run, say)
            parts = list(step.evaluation.parts.all()) if step.evaluation else []
            for part in parts:
                finished(part.run, evaluation_run, say)
            if step.run:
                finished(step.run, runs_supervised, say)
        follow_up.follow_ups_advance(tuning_round=tuning_round)
    failed = tuning_round.follow_ups.filter(status=FollowUp.Status.FAILED).first()
    if failed:
        raise DomainError(f"{failed.get_step_display()} failed after {tuning_round}: {failed.message}")


# --- Measure -------------------------------------------------------------------------------------------------------


def preference_accuracy(plan: Plan, tuning_round: Round | None, say: Callable[[Run], None]) -> Run:
    """A run that says how often the base, or a round's model, prefers the chosen answer of preferences_eval.jsonl."""
    project = Project.objects.get(slug=SLUG)
    model = tuning_round.model if tuning_round else embedded_model()
    title = f"preference accuracy of {model.name}"
    run = Run.objects.filter(project=project, recipe="evaluate", spec__title=title).order_by("-pk").first()
    if run is None:
        spec = {
            "recipe": "evaluate",
            "title": title,
            "base": {"path": model.base, **({"adapter": model.adapter} if model.adapter else {})},
            "data": {"pairs": "data/pairs.jsonl"},
            "settings": {"suite": "preference-accuracy"},
            "seed": 0,
        }
        rows = (
            {
                "id": row["id"],
                "prompt": row["messages"],
                "chosen": [{"role": "assistant", "content": row["chosen"]}],
                "rejected": [{"role": "assistant", "content": row["rejected"]}],
            }
            for row in read(plan.data / "preferences_eval.jsonl")
        )
        run = runs.run_create(
            project=project,
            recipe="evaluate",
            spec=spec,
            files={"data/pairs.jsonl": rows},
            queue="training",
            job="feedbackhub.rounds.jobs.measure",
        )
    return run if run.state == RunState.COMPLETED else finished(run, runs_supervised, say)


def runs_supervised(run_id: int) -> None:
    runs.run_supervise(run_id=run_id)


# --- Judge: simulated, and called so ---------------------------------------------------------------------------------


def judged_by_simulation(project: Project) -> int:
    """Let a simulated rater judge every blind pair that is open: the answer with the higher ROUGE-L F1 (best of the
    references) wins; within 0.01 it is a tie. Returns how many pairs it judged now."""
    import uuid

    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    rater = User.objects.filter(username=SIMULATED_RATER).first()
    if rater is None:
        rater = member_add(project=project, username=SIMULATED_RATER, role=Role.RATER, is_simulated=True)[0].user
    judged = 0
    while lease := task_next(project=project, rater=rater):
        references = lease.task.prompt.references
        scores = {
            output.pk: scorer.score_multi(references, text_of(output.parts))["rougeL"].fmeasure if references else 0.0
            for output in lease.outputs
        }
        best, worst = sorted(scores, key=scores.get, reverse=True)
        tie = scores[best] - scores[worst] < 0.01
        payload = {
            "key": str(uuid.uuid4()),
            "ranking": [[best, worst]] if tie else [[best], [worst]],
            "shown": [output.pk for output in lease.outputs],
            "duration_ms": 0,
            "comment": "simulated: ROUGE-L against the references",
        }
        judgment_record(rater=rater, task=lease.task, payload=payload)
        judged += 1
    return judged
