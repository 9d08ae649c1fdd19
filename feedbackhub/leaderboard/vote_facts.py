"""What the votes between two models tell beyond their tallies, read once and kept until a vote changes the tallies."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from django.core.cache import cache

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project
from feedbackhub.stats.compare import design_effect
from feedbackhub.stats.intervals import sign_test, wilson_interval

from .pair_votes import PairVote, groups_of_raters, is_simulated, pair_votes

KEPT_SECONDS = 60  # what changes no tally (a rater's group, an edit that says the same) shows after a minute
AS_LONG = 0.2  # of the longer answer: the lengths differ by no more
LONGER, SHORTER, ALIKE, UNKNOWN = "longer", "shorter", "alike", "unknown"
SIMULATED, IMPORTED, UNGROUPED, GROUP = "simulated", "imported", "ungrouped", "group"
OUTCOMES = (1.0, 0.0, 0.5, None)

Counts = tuple[int, int, int, int]  # wins, losses, ties, both bad


@dataclass(frozen=True)
class VoteFacts:
    """`lengths`: by who wrote more; `raters`: by (kind, name of the group)."""

    design_effect: float
    by_prompt: dict
    position_bias: dict
    lengths: dict[str, Counts]
    raters: dict[tuple[str, str], Counts]


def vote_facts(project: Project, a: ModelVersion, b: ModelVersion, category: str | None, tallied: object) -> VoteFacts:
    """The facts of the pair's votes (in a category); `tallied` is what tallies say of them: its changes are seen."""
    told = (project.pk, project.created_at, a.pk, b.pk, category, str(tallied))
    key = f"vote-facts-{sha256(repr(told).encode()).hexdigest()}"
    found = cache.get(key)
    if found is None:
        found = facts_of(project, votes_in(pair_votes(project, a, b), category))
        cache.set(key, found, KEPT_SECONDS)
    return found


def votes_in(votes: list[PairVote], category: str | None) -> list[PairVote]:
    return votes if category is None else [vote for vote in votes if vote.category == category]


def facts_of(project: Project, votes: list[PairVote]) -> VoteFacts:
    return VoteFacts(
        design_effect=design_effect(_decided(votes)),
        by_prompt=_by_prompt(votes),
        position_bias=_position_bias(votes),
        lengths=_counted(votes, _length_of),
        raters=_counted(votes, _rater_of(groups_of_raters(project))),
    )


def _decided(votes: Iterable[PairVote]) -> list[tuple[tuple, float]]:
    return [(vote.cluster, vote.outcome) for vote in votes if vote.outcome is not None]


def _counted(votes: list[PairVote], of: Callable) -> dict:
    counts: dict = defaultdict(Counter)
    for vote in votes:
        counts[of(vote)][vote.outcome] += 1
    return {name: tuple(found[outcome] for outcome in OUTCOMES) for name, found in counts.items()}


def _length_of(vote: PairVote) -> str:
    ours, theirs = vote.chars
    if ours is None or theirs is None:
        return UNKNOWN
    if abs(ours - theirs) <= AS_LONG * max(ours, theirs):
        return ALIKE
    return LONGER if ours > theirs else SHORTER


def _rater_of(groups: dict[int, str]) -> Callable[[PairVote], tuple[str, str]]:
    def of(vote: PairVote) -> tuple[str, str]:
        if is_simulated(vote):
            return SIMULATED, ""
        if vote.rater is None:
            return IMPORTED, ""
        return (GROUP, groups[vote.rater]) if vote.rater in groups else (UNGROUPED, "")

    return of


def _by_prompt(votes: list[PairVote]) -> dict:
    """The exact McNemar (sign) test on prompts: each counts once, by what most of its votes say.

    {prompts, better, worse, even, p_value, votes_a_prompt}; the last two are None without a prompt.
    """
    nets: dict[tuple, float] = defaultdict(float)
    decided = _decided(votes)
    for cluster, outcome in decided:
        nets[cluster] += outcome - 0.5
    better, worse = sum(net > 0 for net in nets.values()), sum(net < 0 for net in nets.values())
    return {
        "prompts": len(nets),
        "better": better,
        "worse": worse,
        "even": len(nets) - better - worse,
        "p_value": sign_test(better, worse) if nets else None,
        "votes_a_prompt": len(decided) / len(nets) if nets else None,
    }


def _position_bias(votes: list[PairVote]) -> dict:
    """How often the answer shown first won, of the decided votes between two models: {first, decided, rate, lower,
    upper}; the rate and its 95 % Wilson interval are None without such votes."""
    decided = [vote for vote in votes if vote.outcome in (0.0, 1.0)]
    first = sum((vote.outcome == 1.0) == vote.is_first for vote in decided)
    if not decided:
        return {"first": 0, "decided": 0, "rate": None, "lower": None, "upper": None}
    lower, upper = wilson_interval(first, len(decided))
    return {"first": first, "decided": len(decided), "rate": first / len(decided), "lower": lower, "upper": upper}
