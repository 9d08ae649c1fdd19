"""What is known of a round before it is launched: its rows, in words, and what a rehearsal has measured.

Each finding has a level: `stops` (the round would fail, or its result would mean nothing), `warns`, `fine`. Only what
would spoil a result without anybody noticing, a test prompt among the trained ones, keeps a round from being launched.
"""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain

from feedbackhub.catalog.models import Prompt, Split

from . import preflight_rules as rules
from .datasets import chat
from .estimates import estimate_of, estimate_shown
from .leaks import leaks
from .mixtures import together
from .models import PreferenceDataset, PreferenceRow, Round
from .preflight_look import Looked, look, user_text
from .recipes import schema


def preflight(tuning_round: Round) -> dict:
    """{level, findings: [{code, level, text, advice, figures}], estimate}: the worst first."""
    datasets, settings = tuning_round.datasets, _settings(tuning_round)
    dataset = together(datasets)
    found = look(chain.from_iterable(map(_rows, datasets)))
    measured = estimate_of(tuning_round)
    findings = sorted(
        (
            *rules.base(tuning_round.base_model),
            *rules.amount(found, dataset, settings),
            *(rules.audit(found, settings) if tuning_round.audit_model_id else ()),
            *rules.lengths(found, settings, measured),
            *rules.content(found),
            *rules.length_bias(found),
            *rules.balance(found, settings),
            *rules.agreement(found, dataset),
            *rules.sources(dataset),
            *rules.leaked(leaks(found.prompts.items(), _tested(dataset))),
            *rules.memory(measured),
        ),
        key=lambda finding: rules.LEVELS.index(finding.level),
    )
    return {
        "level": findings[0].level,
        "findings": [asdict(finding) for finding in findings],
        "estimate": estimate_shown(tuning_round),
    }


def leaked(datasets: list[PreferenceDataset]) -> rules.Finding | None:
    """The finding that keeps a round from being launched, if there is one: it costs one pass over the prompts."""
    trained = PreferenceRow.objects.filter(dataset__in=datasets).values("prompt")
    prompts = Prompt.objects.filter(pk__in=trained).iterator(chunk_size=1000)
    tested = dict(_tested(datasets[0]))
    if not tested:
        return None
    found = leaks(((prompt.pk, _said(prompt)) for prompt in prompts), tested.items(), near=False)
    return next((finding for finding in rules.leaked(found) if finding.level == rules.STOPS), None)


def _settings(tuning_round: Round) -> dict:
    rules = schema()[tuning_round.recipe]["settings"]
    return {name: tuning_round.settings.get(name, rule["default"]) for name, rule in rules.items()}


def _rows(dataset: PreferenceDataset) -> Iterator[Looked]:
    found = dataset.rows.order_by("position").values_list("split", "prompt_id", "data", "margin", "judgments")
    for split, prompt, data, margin, judgments in found.iterator(chunk_size=1000):
        yield Looked(split, prompt, data, margin, len(judgments))


def _tested(dataset: PreferenceDataset) -> Iterator[tuple[int, str]]:
    prompts = Prompt.objects.filter(project=dataset.project_id, split=Split.TEST).order_by("pk")
    for prompt in prompts.iterator(chunk_size=1000):
        yield prompt.pk, _said(prompt)


def _said(prompt: Prompt) -> str:
    return user_text(chat(prompt.messages))
