"""Judgments made elsewhere, stored in bulk: imported votes and preferences."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.core.live import publish
from feedbackhub.projects.models import Project, TaskKind

from .models import Judgment, JudgmentItem
from .tally import Counts, counts_apply

CHUNK = 500


@dataclass(frozen=True, slots=True)
class ImportedItem:
    """One side of an imported comparison. tier: 0 is best, ties share one. chars: the answer's length, where known."""

    model: ModelVersion | None
    output: Output | None
    tier: int
    chars: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedJudgment:
    """A comparison somebody made elsewhere; `items` as they were shown.

    import_key: its identity, at most 64 characters. payload_digest: of who won: the same key with another digest is a
    contradiction. question: what it was about, where the prompt itself is not known.
    """

    import_key: str
    payload_digest: str
    items: Sequence[ImportedItem]
    prompt: Prompt | None
    judge: str
    category: str
    occurred_at: datetime
    none_acceptable: bool
    question: str = ""


@transaction.atomic
def judgments_import(*, project: Project, rows: Sequence[ImportedJudgment], source: str) -> list[str]:
    """Store comparisons; for each row "created", "known" (it was there before) or "conflict" (with another winner).

    source: Judgment.Source.VOTES or .PREFERENCES. Tallies and leaderboard follow in the same transaction. Idempotent.
    """
    known = _known(project, rows)
    answers, new = [], []
    for row in rows:
        if row.import_key in known:
            answers.append("known" if known[row.import_key] == row.payload_digest else "conflict")
        else:
            known[row.import_key] = row.payload_digest
            answers.append("created")
            new.append(row)
    _store(project, new, source)
    return answers


def _known(project: Project, rows: Sequence[ImportedJudgment]) -> dict[str, str]:
    keys = sorted({row.import_key for row in rows})
    known: dict[str, str] = {}
    for start in range(0, len(keys), CHUNK):
        there = Judgment.objects.filter(project=project, import_key__in=keys[start : start + CHUNK])
        known.update(there.values_list("import_key", "payload_digest"))
    return known


def _store(project: Project, rows: list[ImportedJudgment], source: str) -> None:
    if not rows:
        return
    judgments = Judgment.objects.bulk_create(
        [
            Judgment(
                project=project,
                kind=TaskKind.PAIRWISE,
                source=source,
                prompt=row.prompt,
                judge=row.judge,
                question=row.question,
                category=row.category,
                import_key=row.import_key,
                payload_digest=row.payload_digest,
                none_acceptable=row.none_acceptable,
                occurred_at=row.occurred_at,
            )
            for row in rows
        ],
        batch_size=CHUNK,
    )
    counts = Counts()
    items = []
    for judgment, row in zip(judgments, rows, strict=True):
        found = [(item.model.pk if item.model else None, item.tier) for item in row.items]
        counts.add(row.category, source, found, row.none_acceptable)
        items += [
            JudgmentItem(
                judgment=judgment,
                model=item.model,
                output=item.output,
                position=place,
                tier=item.tier,
                chars=item.chars,
            )
            for place, item in enumerate(row.items)
        ]
    JudgmentItem.objects.bulk_create(items, batch_size=CHUNK)
    counts_apply(project, counts)
    publish(f"leaderboard.{project.pk}", {"type": "vote"})
