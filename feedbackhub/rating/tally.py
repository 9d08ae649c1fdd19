"""Pair and ranking tallies: kept in the transaction of the judgment that changes them, rebuilt, and checked.

They are sums, so an undo subtracts what the judgment added. Rows are written in the order of their keys, so that two
transactions never wait for each other in a circle, and last in a transaction, so that they are locked only briefly.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, groupby
from operator import itemgetter

from django.db import connection, transaction

from feedbackhub.projects.models import Project, TaskKind

from .models import Judgment, JudgmentItem, PairTally, RankingTally

COMPARED = (TaskKind.PAIRWISE, TaskKind.RANKING)
OUTCOMES = ("wins_a", "wins_b", "ties", "both_bad")
ROWS = 1000  # a statement

# (category, source, model_a, model_b); (category, source, pattern)
PairKey = tuple[str, str, int, int]
PatternKey = tuple[str, str, str]


@dataclass
class Counts:
    """What some judgments come to: {pair key: Counter of outcomes}, {pattern key: how often}."""

    pairs: dict[PairKey, Counter] = field(default_factory=dict)
    patterns: Counter = field(default_factory=Counter)

    def add(
        self, category: str, source: str, items: Sequence[tuple[int | None, int]], none_acceptable: bool, sign: int = 1
    ) -> None:
        """Add (sign 1) or take back (sign -1) a comparison or ranking; `items` are (model id, tier).

        A pair counts where both models are known and differ; a pattern, where there are three models or more.
        """
        for (model, tier), (other, other_tier) in combinations(items, 2):
            if model is None or other is None or model == other:
                continue
            a, b = min(model, other), max(model, other)
            if none_acceptable:
                outcome = "both_bad"
            elif tier == other_tier:
                outcome = "ties"
            else:
                outcome = "wins_a" if (tier < other_tier) == (model == a) else "wins_b"
            self.pairs.setdefault((category, source, a, b), Counter())[outcome] += sign
        models = {model for model, _ in items}
        if len(items) >= 3 and not none_acceptable and None not in models and len(models) == len(items):
            self.patterns[category, source, pattern_of(items)] += sign

    def add_judgment(self, judgment: Judgment, items: Iterable[JudgmentItem], sign: int = 1) -> None:
        if judgment.counted and not judgment.is_check and judgment.kind in COMPARED:
            found = [(item.model_id, item.tier) for item in items]
            self.add(judgment.category, judgment.source, found, judgment.none_acceptable, sign)


def pattern_of(items: Sequence[tuple[int, int]]) -> str:
    """Models (id, tier) best first, as "12>7=9>3"; ties in ascending order of their ids."""
    ordered = sorted(items, key=lambda item: (item[1], item[0]))
    tiers = groupby(ordered, key=itemgetter(1))
    return ">".join("=".join(str(model) for model, _ in tier) for _, tier in tiers)


def counts_apply(project: Project, counts: Counts) -> None:
    """Add `counts` to the stored tallies, in the caller's transaction; a tally that comes to nothing goes."""
    pairs = [
        (project.pk, *key, *(outcomes[name] for name in OUTCOMES))
        for key, outcomes in sorted(counts.pairs.items())
        if any(outcomes.values())
    ]
    keys = ("project_id", "category", "source", "model_a_id", "model_b_id")
    _add_rows(PairTally._meta.db_table, keys, OUTCOMES, pairs)
    patterns = [(project.pk, *key, count) for key, count in sorted(counts.patterns.items()) if count]
    pattern_keys = ("project_id", "category", "source", "pattern")
    _add_rows(RankingTally._meta.db_table, pattern_keys, ("count",), patterns)
    for row in pairs:
        if min(row[5:]) < 0:
            PairTally.objects.filter(**dict(zip(keys, row)), **dict.fromkeys(OUTCOMES, 0)).delete()
    for row in patterns:
        if row[-1] < 0:
            RankingTally.objects.filter(**dict(zip(pattern_keys, row)), count=0).delete()


def _add_rows(table: str, keys: Sequence[str], sums: Sequence[str], rows: list[tuple]) -> None:
    """INSERT rows of keys and sums; where a row of these keys is there, add the sums to it."""
    quote = connection.ops.quote_name
    columns = ", ".join(map(quote, (*keys, *sums)))
    added = ", ".join(f"{quote(name)} = {quote(table)}.{quote(name)} + excluded.{quote(name)}" for name in sums)
    place = f"({', '.join(['%s'] * (len(keys) + len(sums)))})"
    with connection.cursor() as cursor:
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            cursor.execute(
                f"INSERT INTO {quote(table)} ({columns}) VALUES {', '.join([place] * len(part))} "
                f"ON CONFLICT ({', '.join(map(quote, keys))}) DO UPDATE SET {added}",
                list(chain.from_iterable(part)),
            )


# --- Against the judgments --------------------------------------------------------------------------------------


@transaction.atomic
def tallies_rebuild(*, project: Project) -> None:
    """Throw the project's tallies away and count its judgments in force anew. Votes wait meanwhile; none is lost."""
    _hold()
    PairTally.objects.filter(project=project).delete()
    RankingTally.objects.filter(project=project).delete()
    counts_apply(project, counted(project))


@transaction.atomic
def tallies_check(*, project: Project) -> list[dict]:
    """Where stored tallies and judgments in force differ: [{key, stored, judged}]; empty when all is well."""
    _hold()
    judged = counted(project)
    rows = PairTally.objects.filter(project=project).values_list("category", "source", "model_a", "model_b", *OUTCOMES)
    stored: dict = {row[:4]: row[4:] for row in rows if any(row[4:])}
    patterns = RankingTally.objects.filter(project=project).values_list("category", "source", "pattern", "count")
    stored.update({row[:3]: row[3:] for row in patterns if row[3]})
    expected: dict = {key: tuple(found[name] for name in OUTCOMES) for key, found in judged.pairs.items()}
    expected.update({key: (count,) for key, count in judged.patterns.items()})
    return [
        {"key": key, "stored": stored.get(key), "judged": expected.get(key)}
        for key in sorted(stored.keys() | expected.keys(), key=str)
        if stored.get(key) != expected.get(key)
    ]


def _hold() -> None:
    """Keep others from changing tallies until this transaction ends; votes not yet in them are added after it.

    SQLite's immediate transactions do so by themselves. On PostgreSQL every statement sees what is committed by then,
    and a vote's transaction writes its judgment before its tallies: either both are seen, or both come later.
    """
    if connection.vendor == "postgresql":
        tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in (PairTally, RankingTally))
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")


def counted(project: Project) -> Counts:
    """The project's comparisons and rankings in force, counted from the judgments themselves."""
    counts = Counts()
    for (_, category, source, none_acceptable), items in _judged(project):
        counts.add(category, source, items, none_acceptable)
    return counts


def _judged(project: Project) -> Iterator[tuple[tuple, list[tuple[int | None, int]]]]:
    judgments = Judgment.objects.in_force().filter(project=project, kind__in=COMPARED)
    heads = ("judgment_id", "judgment__category", "judgment__source", "judgment__none_acceptable")
    rows = (
        JudgmentItem.objects.filter(judgment__in=judgments)
        .order_by("judgment_id", "position")
        .values_list(*heads, "model_id", "tier")
    )
    for head, group in groupby(rows.iterator(chunk_size=5000), key=lambda row: row[:4]):
        yield head, [(row[4], row[5]) for row in group]
