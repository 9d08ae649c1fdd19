"""The votes between two models, with who said them of what: what tallies do not tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, product
from operator import itemgetter

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Membership, Project, Role
from feedbackhub.rating.models import Judgment, JudgmentItem

from .votes import in_force

VOTES_AT_MOST = 50_000  # the latest; beyond that a page would wait for what they add
HEADS = ("judgment_id", "prompt_id", "question", "category", "source", "rater_id", "judge", "none_acceptable")
OF_JUDGMENT = (*HEADS[1:], "strength", "comment")


@dataclass(frozen=True, slots=True)
class PairVote:
    """One comparison of two models, from the first one's side. outcome: 1 won, 0 lost, ½ tie, None both bad."""

    judgment: int
    prompt: int | None
    question: str
    category: str
    source: str
    rater: int | None
    judge: str
    strength: str
    comment: str
    outcome: float | None
    is_first: bool
    chars: tuple[int | None, int | None]
    outputs: tuple[int | None, int | None]

    @property
    def cluster(self) -> tuple:
        """What the vote is about: votes of one prompt are alike. One that says no prompt stands for itself."""
        if self.prompt is not None:
            return "prompt", self.prompt
        return ("question", self.question) if self.question else ("judgment", self.judgment)


def pair_votes(project: Project, a: ModelVersion, b: ModelVersion, *, limit: int = VOTES_AT_MOST) -> list[PairVote]:
    """The latest judgments in force that compare the two, oldest first; a ranking by those of its items."""
    judgments = in_force(project).filter(items__model=a).filter(items__model=b).order_by("-pk").distinct()
    chosen = list(judgments.values_list("pk", flat=True)[:limit])
    return [vote for start in range(0, len(chosen), 5000) for vote in _read(chosen[start : start + 5000], a, b)][::-1]


def _read(judgments: list[int], a: ModelVersion, b: ModelVersion) -> Iterator[PairVote]:
    rows = (
        JudgmentItem.objects.filter(judgment__in=judgments, model__in=(a, b))
        .order_by("-judgment_id", "-position")
        .values_list(
            "judgment_id", *(f"judgment__{name}" for name in OF_JUDGMENT), *("model_id", "tier", "position"),
            *("chars", "output_id"),
        )
    )  # fmt: skip
    for pk, group in groupby(rows.iterator(chunk_size=5000), key=itemgetter(0)):
        found = list(group)
        prompt, question, category, source, rater, judge, none_acceptable, strength, comment = found[0][1:10]
        ours, theirs = ([row[10:] for row in found if row[10] == model.pk] for model in (a, b))
        for one, other in product(ours, theirs):
            yield PairVote(
                judgment=pk,
                prompt=prompt,
                question=question,
                category=category,
                source=source,
                rater=rater,
                judge=judge,
                strength=strength,
                comment=comment,
                outcome=None if none_acceptable else _outcome(one[1], other[1]),
                is_first=one[2] < other[2],
                chars=(one[3], other[3]),
                outputs=(one[4], other[4]),
            )


def _outcome(tier: int, other: int) -> float:
    return 0.5 if tier == other else float(tier < other)


def groups_of_raters(project: Project) -> dict[int, str]:
    """Rater → the name of their group, of those who are in one."""
    rows = Membership.objects.filter(project=project, group__isnull=False).exclude(role=Role.STAKEHOLDER)
    return dict(rows.values_list("user_id", "group__name"))


def is_simulated(vote: PairVote) -> bool:
    return vote.source == Judgment.Source.SIMULATED
