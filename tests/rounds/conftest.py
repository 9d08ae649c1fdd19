"""Prompts, answers and judgments, put straight into the tables: how they came there is other rooms' business."""

import itertools

import pytest
from django.utils import timezone

from feedbackhub.catalog.content import messages_of, prompt_digest, text_parts
from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.rating.models import Judgment, JudgmentItem


@pytest.fixture
def make_prompt(project):
    """make_prompt("text", split="train", references=[…])"""

    def make(text, split="train", **fields):
        messages = messages_of(text)
        return Prompt.objects.create(
            project=project, messages=messages, digest=prompt_digest(messages), split=split, **fields
        )

    return make


@pytest.fixture
def make_model(project):
    def make(name, **fields):
        fields = {"kind": "imported", **fields}
        return ModelVersion.objects.get_or_create(project=project, name=name, defaults=fields)[0]

    return make


@pytest.fixture
def make_output(make_model):
    counter = itertools.count()

    def make(prompt, text, model="red"):
        return Output.objects.create(
            prompt=prompt, model=make_model(model), parts=text_parts(text), content_key=str(next(counter))
        )

    return make


@pytest.fixture
def judge(project):
    """judge([[best], [tied, tied]]) with outputs; thumbs={output: 1}; any field of Judgment."""

    def make(tiers=(), *, thumbs=None, corrections=None, kind=None, prompt="its own", **fields):
        thumbs, corrections = thumbs or {}, corrections or {}
        ranked = [(output, tier) for tier, outputs in enumerate(tiers) for output in outputs]
        ranked += [(output, None) for output in thumbs]
        first = ranked[0][0]
        kind = kind or ("thumbs" if thumbs else "pairwise" if len(ranked) == 2 else "ranking")
        judgment = Judgment.objects.create(
            project=project,
            kind=kind,
            source=fields.pop("source", "rater"),
            prompt=first.prompt if prompt == "its own" else prompt,
            category=first.prompt.category,
            occurred_at=timezone.now(),
            **fields,
        )
        JudgmentItem.objects.bulk_create(
            JudgmentItem(
                judgment=judgment,
                model=output.model,
                output=output,
                position=position,
                tier=tier,
                thumbs=thumbs.get(output),
                correction=corrections.get(output, ""),
            )
            for position, (output, tier) in enumerate(ranked)
        )
        return judgment

    return make


@pytest.fixture
def pair(make_prompt, make_output):
    """pair("text") → two answers to one prompt, by red and blue."""

    def make(text="What is tea?", **fields):
        prompt = make_prompt(text, **fields)
        return make_output(prompt, f"red on {text}", "red"), make_output(prompt, f"blue on {text}", "blue")

    return make
