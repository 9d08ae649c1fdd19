"""What LangSmith is told of a judgment: one feedback for each output (run) and key.

The mapping: thumbs → key `thumbs`, 1 or 0. A comparison or ranking → key `ranked_preference`, one feedback a run with a
shared group: the winner 1, the loser 0, (k - rank) / (k - 1) among k, the mean rank for ties. None acceptable → 0 each.
Scores → one feedback for each criterion. `value` says the same in a word, so that an edit always overwrites it.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

NAMESPACE = uuid.UUID("8c2f2f0e-6a0c-5b0e-9c65-5c2b6a3f7a10")


@dataclass(frozen=True, kw_only=True)
class FeedbackRun:
    """One judged output, as LangSmith sees it: a run with inputs and outputs, and what was said of it."""

    run_uuid: uuid.UUID
    name: str
    inputs: dict
    outputs: dict
    start_time: datetime
    end_time: datetime
    tier: int | None = None
    thumbs: int | None = None
    scores: dict = field(default_factory=dict)


def feedback_id(judgment_key: str, run_uuid: uuid.UUID | str, key: str) -> uuid.UUID:
    """The id of a feedback: always the same for the same judgment, run and feedback key."""
    return uuid.uuid5(NAMESPACE, f"{judgment_key}:{run_uuid}:{key}")


def group_id(judgment_key: str) -> uuid.UUID:
    """The group that the feedbacks of one comparison share."""
    return uuid.uuid5(NAMESPACE, f"{judgment_key}:group")


def ranked_scores(tiers: list[int]) -> list[float]:
    """Tiers (0 is best, ties share one) → (k - rank) / (k - 1) with rank from 1 and the mean rank for ties."""
    k = len(tiers)
    if k < 2:
        raise ValueError("a ranked preference needs at least two outputs")
    ranks = [sum(other < tier for other in tiers) + (tiers.count(tier) + 1) / 2 for tier in tiers]
    return [(k - rank) / (k - 1) for rank in ranks]


def feedbacks_of(
    *, judgment_key: str, kind: str, runs: list[FeedbackRun], none_acceptable: bool, comment: str
) -> Iterator[tuple[uuid.UUID, dict]]:
    """(feedback id, arguments of create_feedback but for the id) for every feedback of a judgment."""
    for run, key, score, value in _said(kind, runs, none_acceptable):
        arguments = {
            "run_id": str(run.run_uuid),
            "key": key,
            "score": score,
            "value": value,
            "comment": comment or None,
        }
        if key == "ranked_preference":
            arguments["feedback_group_id"] = str(group_id(judgment_key))
        yield feedback_id(judgment_key, run.run_uuid, key), arguments


def _said(kind: str, runs: list[FeedbackRun], none_acceptable: bool) -> Iterator[tuple[FeedbackRun, str, float, str]]:
    if kind in ("pairwise", "ranking"):
        scores = [0.0] * len(runs) if none_acceptable else ranked_scores([run.tier for run in runs])
        for run, score in zip(runs, scores, strict=True):
            yield run, "ranked_preference", score, _word(kind, runs, run, none_acceptable)
    elif kind == "thumbs":
        for run in runs:
            yield run, "thumbs", 1.0 if run.thumbs > 0 else 0.0, "up" if run.thumbs > 0 else "down"
    else:
        for run in runs:
            for criterion, score in run.scores.items():
                yield run, criterion, float(score), str(score)


def _word(kind: str, runs: list[FeedbackRun], run: FeedbackRun, none_acceptable: bool) -> str:
    if none_acceptable:
        return "both_bad" if len(runs) == 2 else "none_acceptable"
    if kind == "ranking":
        return f"rank {run.tier + 1} of {len(runs)}"
    if all(other.tier == run.tier for other in runs):
        return "tie"
    return "win" if run.tier == min(other.tier for other in runs) else "loss"
