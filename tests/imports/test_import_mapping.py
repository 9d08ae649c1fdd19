"""Bringing a source's own fields to ours: map and template."""

import pytest

from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.core.errors import DomainError
from feedbackhub.imports.models import Import

pytestmark = pytest.mark.django_db


def test_fields_are_mapped_by_name_and_along_dots(imported):
    row = {
        "question": {"text": "Why?", "tags": ["why", "sky"]},
        "a.b": "literal",
        "answers": [{"content": "Light."}, {"content": "Air."}],
    }
    imported(
        "prompts",
        [row],
        field_map={
            "prompt": "question.text",
            "category": "question.tags.1",
            "id": "a.b",
            "references": "answers.0.content",
        },
    )
    prompt = Prompt.objects.get()
    assert (prompt.text, prompt.category, prompt.external_id) == ("Why?", "sky", "literal")
    assert prompt.references == ["Light."]


def test_a_field_mapped_to_nothing_is_left_out(imported):
    imported(
        "prompts", [{"prompt": "Why?", "split": "fold-3", "category": "x"}], field_map={"split": "", "category": None}
    )
    assert Prompt.objects.get().category == ""


def test_fields_within_each_output_are_mapped(imported):
    row = {"prompt": "Why?", "responses": [{"system": {"name": "small"}, "answer": "So."}]}
    imported(
        "outputs",
        [row],
        field_map={"outputs": "responses", "outputs.model": "system.name", "outputs.text": "answer"},
    )
    assert (Output.objects.get().model.name, Output.objects.get().text) == ("small", "So.")


def test_a_mapped_field_that_a_line_lacks_is_absent(imported, rejections):
    report = imported("prompts", [{"prompt": "not this one"}], field_map={"prompt": "question"})
    assert 'prompt ("question")' in rejections(report)[1]


def test_the_template_makes_the_prompt_whatever_else_the_line_says(imported):
    row = {"prompt": "no", "messages": [{"role": "user", "content": "no"}], "dialogue": "A: hi", "meta": {"n": 2}}
    imported("prompts", [row], template="{{Sum up}} {dialogue} in {meta.n} words {meta}")
    assert Prompt.objects.get().text == '{Sum up} A: hi in 2 words {"n": 2}'


def test_a_null_in_the_template_is_empty_and_an_unknown_field_is_told(imported, rejections):
    rows = [{"instruction": "Add", "input": None}, {"instruction": "Add"}, {"instruction": "Add", "input": "1+1"}]
    report = imported("prompts", rows, template="{instruction} {input}")
    assert rejections(report) == {
        2: 'the template names "input", which this line does not have (its fields: instruction)'
    }
    assert [prompt.text for prompt in Prompt.objects.order_by("pk")] == ["Add ", "Add 1+1"]


def test_a_template_that_leaves_nothing_is_told(imported, rejections):
    report = imported("prompts", [{"input": None}], template=" {input}")
    assert rejections(report) == {1: "the prompt made from the template has no text"}


REFUSED = [
    ({"kind": "votess"}, "kind", 'kind "votess" is none of prompts, outputs, votes, preferences'),
    ({"field_map": ["prompt"]}, "map", "map must be a JSON object"),
    ({"field_map": {"promt": "q"}}, "map", 'prompts have no field "promt"; there are prompt, messages'),
    ({"field_map": {"winner": "w"}}, "map", 'prompts have no field "winner"'),
    ({"field_map": {"prompt": 3}}, "map", '"prompt" must name a field of the source (a text), not 3'),
    ({"template": "a {b"}, "template", "expected '}' before end of string"),
    ({"template": "a } b"}, "template", "Single '}' encountered"),
    ({"template": "a {} b"}, "template", "{} names no field"),
    ({"template": "a {b!r}"}, "template", "takes a field's name only"),
    ({"template": "a {b:>9}"}, "template", "takes a field's name only"),
]


@pytest.mark.parametrize(("options", "field", "error"), REFUSED)
def test_what_cannot_be_right_is_refused_at_once(uploaded, options, field, error):
    options = {"kind": "prompts", "content": [{"prompt": "x"}], **options}
    with pytest.raises(DomainError) as refused:
        uploaded(options.pop("kind"), options.pop("content"), **options)
    assert refused.value.status == 400
    assert error in refused.value.message
    assert list(refused.value.fields) == [field]
    assert not Import.objects.exists()
