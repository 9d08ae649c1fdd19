"""Freezing judgments into a dataset: which votes, which rows, what was left out and why.

A row rests on all judgments in force of one prompt and one pair of its outputs. The label with the most votes wins
(one output, the other, a tie, both bad); the margin is the share of votes for the chosen one minus the share for the
rejected one. Prompts of the test split never enter, whatever the filters say.

A settlement (`rating.adjudication`) stands for all votes on its pair. A rater whom an admin has weighed counts with
that weight, in the majority and in the margin; where the votes for the winning label weigh less than half a vote
together, the row is left out. Scores become pairs by each rater's own grades (`graded`).
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from feedbackhub.accounts.models import User
from feedbackhub.catalog.content import media_of, text_of
from feedbackhub.catalog.models import Output, Prompt, Split
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.rating.adjudication import settlements
from feedbackhub.rating.decisions import rater_weights
from feedbackhub.rating.models import Judgment, JudgmentItem

from .graded import graded
from .models import PreferenceDataset, PreferenceRow

FILTERS = {
    "categories": "prompt categories to take",
    "sources": "judgment sources to take: rater, simulated, votes, preferences, adjudication",
    "models": "names of the models whose outputs to take",
    "raters": "usernames of the raters to take",
    "min_margin": "the least margin of a row, from 0 to 1",
    "demonstrations": "for sft: corrections, references, or both (the default)",
}
COMPARED = ("pairwise", "ranking")
DEMONSTRATIONS = ("corrections", "references")
LEAST_WEIGHT = 0.5  # of the votes for a row's label, in votes
MEDIA = "pictures_or_videos"  # models that are tuned here read and write text
CHUNK = 2000


@dataclass
class Row:
    """One row to be: what it will train on, and the votes behind it."""

    prompt: Prompt
    data: dict
    judgments: list[int] = field(default_factory=list)
    margin: float | None = None


def filters_check(filters: object) -> dict:
    """The filters, if each is known and well formed; DomainError naming the one that is not."""
    if not isinstance(filters, dict):
        raise DomainError("filters must be an object.", fields={"filters": "must be an object"})
    for name, value in filters.items():
        if name not in FILTERS:
            message = f'filter "{name}" is none of {", ".join(FILTERS)}.'
        elif name == "min_margin":
            good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
            message = "" if good else "min_margin must be a number from 0 to 1."
        elif not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            message = f"{name} must be a list of texts."
        elif name == "sources" and (bad := sorted(set(value) - set(Judgment.Source.values))):
            message = f"sources: {', '.join(bad)} is none of {', '.join(Judgment.Source.values)}."
        elif name == "demonstrations" and (bad := sorted(set(value) - set(DEMONSTRATIONS))):
            message = f"demonstrations: {', '.join(bad)} is none of {', '.join(DEMONSTRATIONS)}."
        else:
            message = ""
        if message:
            raise DomainError(message, fields={f"filters.{name}": message})
    return filters


@transaction.atomic
def dataset_freeze(
    *, project: Project, by: User, kind: str = PreferenceDataset.Kind.PREFERENCE, filters: dict | None = None
) -> PreferenceDataset:
    """Freeze the project's judgments in force, as they are now, into a dataset of `kind`.

    Raises DomainError: unknown kind or filter; no usable row (its `excluded` says where they all went).
    """
    if kind not in PreferenceDataset.Kind.values:
        message = f'kind "{kind}" is none of {", ".join(PreferenceDataset.Kind.values)}.'
        raise DomainError(message, fields={"kind": message})
    filters = filters_check(filters or {})
    last = Judgment.objects.filter(project=project).order_by("-id").first()
    excluded: Counter[str] = Counter()
    rows = list(_ROWS[kind](project, filters, excluded))
    if not rows:
        counts = sorted((reason.replace("_", " "), n) for reason, n in excluded.items())
        reasons = ", ".join(f"{_(reason)}: {n}" for reason, n in counts)
        raise DomainError(
            _("There is no usable row for a dataset of kind %(kind)s.") % {"kind": kind}
            + " "
            + (_("Left out — %(reasons)s.") % {"reasons": reasons} if reasons else str(_NOTHING_THERE[kind])),
            code="no_usable_rows",
            excluded=dict(excluded),
        )
    dataset = PreferenceDataset.objects.create(
        project=project,
        kind=kind,
        filters=filters,
        counts=_counts(rows, rater_weights(project)),
        excluded=dict(excluded),
        content_hash=content_hash(rows),
        frozen_up_to=last,
        created_by=by,
    )
    PreferenceRow.objects.bulk_create(
        (
            PreferenceRow(
                dataset=dataset,
                position=position,
                split=row.prompt.split,
                prompt=row.prompt,
                data=row.data,
                judgments=row.judgments,
                margin=row.margin,
            )
            for position, row in enumerate(rows)
        ),
        batch_size=CHUNK,
    )
    return dataset


_NOTHING_THERE = {
    PreferenceDataset.Kind.PREFERENCE: lazy("Nothing has been compared yet: rate some pairs or import preferences."),
    PreferenceDataset.Kind.UNPAIRED: lazy("Nothing has had a thumb yet: rate some outputs with thumbs."),
    PreferenceDataset.Kind.SFT: lazy("There are no corrections and no prompts with references: import some."),
    PreferenceDataset.Kind.PROMPTS: lazy("There are no prompts: import some."),
}


def content_hash(rows: list[Row]) -> str:
    """SHA-256 of split and content of every row, in order: the same rows have the same hash wherever they are."""
    digest = hashlib.sha256()
    for row in rows:
        line = json.dumps([row.prompt.split, row.data], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _counts(rows: list[Row], weights: dict[int, float]) -> dict:
    judgments = {judgment for row in rows for judgment in row.judgments}
    sources: Counter[str] = Counter()
    raters = set()
    ids = sorted(judgments)
    for start in range(0, len(ids), CHUNK):
        found = Judgment.objects.filter(pk__in=ids[start : start + CHUNK])
        for source, rater, judge in found.values_list("source", "rater_id", "judge"):
            sources[source] += 1
            raters.add((rater, judge))
    splits = Counter(row.prompt.split for row in rows)
    weighed = User.objects.filter(pk__in=weights).order_by("username").values_list("pk", "username")
    return {
        "rows": len(rows),
        **{split: splits.get(split, 0) for split in (Split.TRAIN, Split.VALIDATION)},
        "prompts": len({row.prompt.pk for row in rows}),
        "judgments": len(judgments),
        "raters": len(raters),
        "sources": dict(sources),
        **({"weights": {name: weights[pk] for pk, name in weighed}} if weights else {}),
    }


def chat(messages: list[dict]) -> list[dict]:
    """Messages with their content as one text: the conversational format that trainers read."""
    return [{"role": message["role"], "content": text_of(message["content"])} for message in messages]


def answer(text: str) -> list[dict]:
    return [{"role": "assistant", "content": text}]


# --- Judgments in force, in the order they came ----------------------------------------------------------------


def _judgments(project: Project, filters: dict, kinds: tuple[str, ...]) -> Iterator[list[Judgment]]:
    """The project's judgments in force of these kinds that the filters let through, with items, chunk by chunk."""
    yield from _with_items(Judgment.objects.in_force().filter(project=project, kind__in=kinds), filters)


def _settlements(project: Project, filters: dict, kinds: tuple[str, ...]) -> Iterator[list[Judgment]]:
    """The settlements that hold, likewise: a filter of sources or raters may leave them out."""
    yield from _with_items(settlements(project).filter(kind__in=kinds), filters)


def _with_items(judgments: QuerySet[Judgment], filters: dict) -> Iterator[list[Judgment]]:
    if "sources" in filters:
        judgments = judgments.filter(source__in=filters["sources"])
    if "categories" in filters:
        judgments = judgments.filter(category__in=filters["categories"])
    if "raters" in filters:
        judgments = judgments.filter(rater__username__in=filters["raters"])
    last = 0
    while chunk := list(judgments.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        last = chunk[-1].pk
        items = defaultdict(list)
        found = JudgmentItem.objects.filter(judgment__in=chunk).select_related("model").order_by("position")
        for item in found:
            items[item.judgment_id].append(item)
        for judgment in chunk:
            judgment.found_items = items[judgment.pk]
        yield chunk


def _excluded_at_once(judgment: Judgment, prompts: dict[int, str]) -> str:
    """Why nothing of this judgment can be a row, or the empty text."""
    if judgment.prompt_id is None or any(item.output_id is None for item in judgment.found_items):
        return "answers_missing"
    return "test_split" if prompts[judgment.prompt_id] == Split.TEST else ""


def _splits(project: Project) -> dict[int, str]:
    return dict(Prompt.objects.filter(project=project).values_list("pk", "split"))


# --- Preference pairs ----------------------------------------------------------------------------------------


def _preference_rows(project: Project, filters: dict, excluded: Counter) -> Iterator[Row]:
    votes: dict[tuple[int, int, int], Counter] = defaultdict(Counter)
    voters: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    splits, weights = _splits(project), rater_weights(project)
    for key, label, judgment in _compared(_judgments(project, filters, COMPARED), splits, filters, excluded):
        votes[key][label] += weights.get(judgment.rater_id, 1)
        voters[key].append(judgment.pk)
    for key, label, rater, judgments in graded(_scored(project, splits, filters, excluded), project.criteria):
        votes[key][label] += weights.get(rater, 1)
        voters[key] += [one for one in judgments if one not in voters[key]]
    for key, label, judgment in _compared(_settlements(project, filters, COMPARED), splits, filters, Counter()):
        votes[key], voters[key] = Counter({label: 1}), [judgment.pk]
    yield from _aggregated(votes, voters, filters, excluded)


def _compared(
    chunks: Iterable[list[Judgment]], splits: dict[int, str], filters: dict, excluded: Counter
) -> Iterator[tuple[tuple[int, int, int], str, Judgment]]:
    """((prompt, output, output), label, judgment) of each pair that can be a row."""
    for judgment in chain.from_iterable(chunks):
        pairs = list(combinations(_wanted(judgment.found_items, filters), 2))
        if reason := _excluded_at_once(judgment, splits):
            excluded[reason] += len(pairs)
            continue
        for one, other in pairs:
            one, other = sorted((one, other), key=lambda item: item.output_id)
            yield (judgment.prompt_id, one.output_id, other.output_id), _label(judgment, one, other), judgment


def _scored(project: Project, splits: dict[int, str], filters: dict, excluded: Counter) -> Iterator[list[Judgment]]:
    """Judgments of scores that can be part of a row."""
    for judgment in chain.from_iterable(_judgments(project, filters, ("scores",))):
        judgment.found_items = _wanted(judgment.found_items, filters)
        if reason := _excluded_at_once(judgment, splits):
            excluded[reason] += len(judgment.found_items)
        else:
            yield [judgment]


def _wanted(items: list[JudgmentItem], filters: dict) -> list[JudgmentItem]:
    return [item for item in items if "models" not in filters or (item.model and item.model.name in filters["models"])]


def _label(judgment: Judgment, one: JudgmentItem, other: JudgmentItem) -> str:
    if judgment.none_acceptable:
        return "both_bad"
    if one.tier == other.tier:
        return "tie"
    return "one" if one.tier < other.tier else "other"


def _aggregated(votes: dict, voters: dict, filters: dict, excluded: Counter) -> Iterator[Row]:
    keys = sorted(votes)
    for start in range(0, len(keys), CHUNK):
        part = keys[start : start + CHUNK]
        prompts = Prompt.objects.in_bulk({key[0] for key in part})
        found = Output.objects.filter(pk__in={pk for key in part for pk in key[1:]})
        parts = dict(found.values_list("pk", "parts"))
        texts = {pk: text_of(of_output) for pk, of_output in parts.items()}
        for key in part:
            winner, margin, weight = _majority(votes[key])
            chosen, rejected = (key[1], key[2]) if winner == "one" else (key[2], key[1])
            if prompts[key[0]].shows_media or media_of(parts[chosen]) or media_of(parts[rejected]):
                excluded[MEDIA] += 1
            elif winner not in ("one", "other"):
                excluded[winner] += 1
            elif weight < LEAST_WEIGHT:
                excluded["votes_weigh_too_little"] += 1
            elif texts[chosen].strip() == texts[rejected].strip():
                excluded["identical_answers"] += 1
            elif margin < filters.get("min_margin", 0):
                excluded["margin_too_small"] += 1
            else:
                prompt = prompts[key[0]]
                data = {
                    "prompt": chat(prompt.messages),
                    "chosen": answer(texts[chosen]),
                    "rejected": answer(texts[rejected]),
                }
                yield Row(prompt=prompt, data=data, judgments=voters[key], margin=margin)


def _majority(votes: Counter) -> tuple[str, float, float]:
    """The label with most votes (`no_majority` when two share the most), its margin of all votes, and their weight."""
    (label, most), *others = votes.most_common()
    if others and abs(others[0][1] - most) < 1e-9:
        return "no_majority", 0.0, most
    against = votes["other" if label == "one" else "one"]
    return label, (most - against) / votes.total() if most else 0.0, most


# --- Thumbs, demonstrations, prompts ---------------------------------------------------------------------------


def _unpaired_rows(project: Project, filters: dict, excluded: Counter) -> Iterator[Row]:
    votes: dict[int, Counter] = defaultdict(Counter)
    voters: dict[int, list[int]] = defaultdict(list)
    splits, weights = _splits(project), rater_weights(project)
    for item, judgment in _thumbed(_judgments(project, filters, ("thumbs",)), splits, filters, excluded):
        votes[item.output_id]["up" if item.thumbs > 0 else "down"] += weights.get(judgment.rater_id, 1)
        voters[item.output_id].append(judgment.pk)
    for item, judgment in _thumbed(_settlements(project, filters, ("thumbs",)), splits, filters, Counter()):
        votes[item.output_id], voters[item.output_id] = Counter({"up" if item.thumbs > 0 else "down": 1}), [judgment.pk]
    outputs = sorted(votes)
    for start in range(0, len(outputs), CHUNK):
        for output in (
            Output.objects.filter(pk__in=outputs[start : start + CHUNK]).select_related("prompt").order_by("pk")
        ):
            up, down = votes[output.pk]["up"], votes[output.pk]["down"]
            margin = abs(up - down) / (up + down) if up + down else 0.0
            if output.prompt.shows_media or media_of(output.parts):
                excluded[MEDIA] += 1
            elif max(up, down) > 0 and abs(up - down) < 1e-9:
                excluded["no_majority"] += 1
            elif max(up, down) < LEAST_WEIGHT:
                excluded["votes_weigh_too_little"] += 1
            elif margin < filters.get("min_margin", 0):
                excluded["margin_too_small"] += 1
            else:
                data = {
                    "prompt": chat(output.prompt.messages),
                    "completion": answer(output.text),
                    "label": up > down,
                }
                yield Row(prompt=output.prompt, data=data, judgments=voters[output.pk], margin=margin)


def _thumbed(
    chunks: Iterable[list[Judgment]], splits: dict[int, str], filters: dict, excluded: Counter
) -> Iterator[tuple[JudgmentItem, Judgment]]:
    for judgment in chain.from_iterable(chunks):
        items = _wanted(judgment.found_items, filters)
        if reason := _excluded_at_once(judgment, splits):
            excluded[reason] += len(items)
        else:
            yield from ((item, judgment) for item in items)


def _sft_rows(project: Project, filters: dict, excluded: Counter) -> Iterator[Row]:
    """One demonstration a prompt: the latest correction of one of its answers, else its first reference."""
    take = filters.get("demonstrations", DEMONSTRATIONS)
    corrections: dict[int, tuple[str, int]] = {}
    weights = rater_weights(project)
    if "corrections" in take:
        for chunk in _judgments(project, filters, ("pairwise", "ranking", "thumbs", "scores")):
            for judgment in chunk:
                for item in judgment.found_items:
                    if not item.correction.strip() or judgment.prompt_id is None:
                        continue
                    if weights.get(judgment.rater_id, 1) < LEAST_WEIGHT:
                        excluded["votes_weigh_too_little"] += 1
                    else:
                        corrections[judgment.prompt_id] = (item.correction, judgment.pk)
    prompts = Prompt.objects.filter(project=project).order_by("pk")
    if "categories" in filters:
        prompts = prompts.filter(category__in=filters["categories"])
    for prompt in prompts.iterator(chunk_size=CHUNK):
        text, judgment = corrections.get(prompt.pk, ("", None))
        if not text and "references" in take and prompt.references:
            text = prompt.references[0]
        if not text.strip():
            excluded["no_demonstration"] += 1
        elif prompt.split == Split.TEST:
            excluded["test_split"] += 1
        elif prompt.shows_media:
            excluded[MEDIA] += 1
        else:
            data = {"messages": [*chat(prompt.messages), *answer(text)]}
            yield Row(prompt=prompt, data=data, judgments=[judgment] if judgment else [])


def _prompt_rows(project: Project, filters: dict, excluded: Counter) -> Iterator[Row]:
    prompts = Prompt.objects.filter(project=project).order_by("pk")
    if "categories" in filters:
        prompts = prompts.filter(category__in=filters["categories"])
    for prompt in prompts.iterator(chunk_size=CHUNK):
        if prompt.split == Split.TEST:
            excluded["test_split"] += 1
        elif prompt.shows_media:
            excluded[MEDIA] += 1
        else:
            yield Row(prompt=prompt, data={"prompt": chat(prompt.messages)})


_ROWS = {
    PreferenceDataset.Kind.PREFERENCE: _preference_rows,
    PreferenceDataset.Kind.UNPAIRED: _unpaired_rows,
    PreferenceDataset.Kind.SFT: _sft_rows,
    PreferenceDataset.Kind.PROMPTS: _prompt_rows,
}
