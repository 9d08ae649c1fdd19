"""A project's own suites: what may be one, versions, what passes and fails, what changed, what follows."""

import json

import pytest

from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.catalog.services import model_create, prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.evaluation import failures, following
from feedbackhub.evaluation.models import DataRequest, ItemResult, SuiteVersion
from feedbackhub.evaluation.selectors import comparison_table, difference_of, latest_suites
from feedbackhub.evaluation.services import evaluation_create
from feedbackhub.evaluation.suite_reading import SuiteError, definition_parse, items_parse
from feedbackhub.evaluation.suites import suite_delete, suite_save
from feedbackhub.rating.models import Task

pytestmark = pytest.mark.django_db(transaction=True)
RULES = {"rules": [{"kind": "not_contains", "texts": ["dog"], "name": "no dogs"}, {"kind": "length", "max": 4}]}
ITEMS = [
    {"id": "a", "prompt": "a dog barks", "tags": ["pets"]},
    {"id": "b", "prompt": "one two three four five", "tags": ["long", "counts"]},
    {"id": "c", "prompt": "salt", "tags": ["pets"]},
    {"id": "d", "prompt": "salt dog", "rules": [{"kind": "equals", "texts": ["salt dog"], "name": "exactly"}]},
]
TASK = {
    "doc_to_text": "{{question}}",
    "doc_to_target": "0",
    "doc_to_choice": ["a", "b"],
    "output_type": "multiple_choice",
}


@pytest.fixture
def suite(project):
    return suite_save(project=project, name="pets", definition=RULES, items=ITEMS)


@pytest.fixture
def measured(project, suite, parent, adapted, stand_in, queue):
    evaluation = evaluation_create(project=project, models=[adapted, parent], suite="pets")
    queue()
    evaluation.refresh_from_db()
    assert (evaluation.status, evaluation.error) == ("done", "")
    return evaluation


# --- What may be one ------------------------------------------------------------------------------------------------


def test_a_version_stays_once_something_was_measured_on_it(measured, project, suite, parent):
    assert suite_save(project=project, name="pets", definition=RULES, items=ITEMS) == suite, "the same is the same"
    second = suite_save(project=project, name="pets", definition=RULES, items=ITEMS[:2])
    assert (second.number, second.items.count()) == (2, 2)
    third = suite_save(project=project, name="pets", definition=RULES, items=ITEMS[:1])
    assert (third.number, third.items.count()) == (2, 1), "a version without results is replaced"
    assert [str(one) for one in latest_suites(project)] == ["pets v2"]
    assert evaluation_create(project=project, models=[parent], suite="pets v1").suite_version == suite
    with pytest.raises(DomainError, match="it stays") as refused:
        suite_delete(suite=suite)
    assert refused.value.status == 409
    suite_delete(suite=third)
    assert SuiteVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("definition", "items", "field", "said"),
    [
        ({"rules": [{"kind": "rhyme"}]}, ITEMS, "definition", 'kind "rhyme" is none of contains'),
        ({"rules": [{"kind": "regex", "pattern": "("}]}, ITEMS, "definition", "this is no pattern"),
        ({"rules": [{"kind": "json", "schema": {"type": 3}}]}, ITEMS, "definition", "this is no JSON schema"),
        (
            {"rules": [{"kind": "json", "schema": json.loads('{"not":' * 90 + "{}" + "}" * 90)}]},
            [],
            "items",
            "needs items",
        ),
        ({"rules": [{"kind": "language", "language": "xx"}]}, ITEMS, "definition", "language must be one of"),
        ({"rules": [{"kind": "length"}]}, ITEMS, "definition", "give min, max or both"),
        ({"rules": [{"kind": "length", "max": 3, "colour": 1}]}, ITEMS, "definition", '"colour" is unknown'),
        ({"rules": [{"kind": "contains", "texts": "a"}]}, ITEMS, "definition", "must be a list of texts"),
        ({"rules": [{"kind": "length", "max": 1}] * 2}, ITEMS, "definition", 'two rules are called "length"'),
        ({"rulez": []}, ITEMS, "definition", '"rulez" is unknown'),
        ({**RULES, "settings": {"seeds": 0}}, ITEMS, "definition", "setting seeds is out of range"),
        ({**RULES, "settings": {"seeds": 2, "temperature": 0}}, ITEMS, "definition", "every seed answers the same"),
        ({**TASK, "metric_list": [{"metric": "code_eval"}]}, ITEMS, "definition", "sandbox, which is off"),
        ({"task": {"doc_to_text": "x"}}, ITEMS, "definition", "doc_to_target"),
        (RULES, [], "items", "A suite needs items"),
        (RULES, [{"prompt": "a"}, {"prompt": "b", "id": 1}], "items", 'item 2: the id "1" occurs twice'),
        (RULES, [{"prompt": " "}], "items", "item 1: it needs a prompt"),
        (RULES, [{"messages": [{"role": "judge", "content": "x"}]}], "items", "role must be one of"),
        (RULES, [{"prompt": "a", "tags": "x"}], "items", "tags must be a list"),
        (RULES, [{"prompt": "a", "colour": 1}], "items", '"colour" is unknown'),
        ({}, [{"prompt": "a"}], "items", "no rule applies to it"),
        ({"rules": [{"kind": "similarity"}]}, [{"prompt": "a"}], "items", "compares with references, and it has none"),
    ],
)
def test_what_is_wrong_is_said(project, definition, items, field, said):
    with pytest.raises(DomainError) as refused:
        suite_save(project=project, name="wrong", definition=definition, items=items)
    assert said in refused.value.fields[field]
    assert not SuiteVersion.objects.exists()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 101 + "1" + "}" * 101, "- " * 101 + "a"])
def test_a_definition_nested_without_end_is_said(text):
    with pytest.raises(SuiteError, match="nested too deeply"):
        definition_parse(text)
    with pytest.raises(SuiteError, match="line 1: this is not JSON"):
        items_parse(text)


def test_a_name_is_no_suite_of_every_project(project, parent):
    with pytest.raises(DomainError, match="no suite of every project"):
        suite_save(project=project, name="perplexity", definition=RULES, items=ITEMS)
    with pytest.raises(DomainError, match='suite "nothing" is none of text-overlap'):
        evaluation_create(project=project, models=[parent], suite="nothing")


# --- What passes and fails -------------------------------------------------------------------------------------------


def test_items_pass_or_fail_and_shares_have_intervals(measured, parent, adapted):
    found = {(row.metric, row.model_id): row for row in measured.results.all()}
    assert found["passed", parent.pk].value == 25, "only salt passes"
    assert found["passed", adapted.pk].value == 50
    assert found["rule:no dogs", parent.pk].value == 50
    assert (found["rule:exactly", adapted.pk].value, found["rule:exactly", adapted.pk].n) == (0, 1)
    assert (found["tag:pets", parent.pk].value, found["tag:pets", parent.pk].n) == (50, 2)
    row = found["passed", parent.pk]
    assert 0 <= row.lower <= row.value <= row.upper <= 100
    alone = found["rule:exactly", parent.pk]
    assert (alone.value, alone.upper) == (100, 100)
    assert alone.lower == pytest.approx(20.65, abs=0.01), "Wilson: one of one"
    failed = ItemResult.objects.get(part__model=parent, item__key="b")
    assert failed.failed == {"length": {"code": "more", "count": 5, "limit": 4, "unit": "words"}}
    assert failed.reasons == [("length", "has 5 words, more than 4")]
    table = comparison_table(measured)
    cell = next(row for row in table.rows if row.name == "passed").cells[0]
    assert (cell.difference.value, cell.difference.verdict) == (25, "too few rows")


def test_what_changed_since_the_parent_is_told_by_rule_and_tag(measured, adapted, parent):
    found = failures.analysis(failures.part_of(measured, adapted.name))
    assert found.previous.model == parent
    assert (len(found.all.failed), len(found.all.fixed), len(found.all.new)) == (2, 1, 0)
    rules = {group.name: (len(group.failed), len(group.fixed), len(group.new)) for group in found.rules}
    assert rules == {"length": (1, 0, 0), "exactly": (1, 0, 1), "no dogs": (0, 2, 0)}
    assert {group.name: len(group.fixed) for group in found.tags} == {"long": 0, "counts": 0, "pets": 1}
    assert [(step.part.model.name, step.failed, step.fixed, step.new) for step in found.history] == [
        ("tiny", 3, None, None),
        (adapted.name, 2, 1, 0),
    ]


def test_four_items_that_turned_may_be_chance():
    """Of 40 items 4 were fixed and none is new: the bootstrap leaves zero out, the exact test does not."""
    four = {"value": 10.0, "lower": 2.5, "upper": 20.0, "n": 40, "p_value": 0.125}
    assert difference_of("passed", four).verdict == "no difference"
    assert difference_of("passed", {**four, "p_value": 0.03}).verdict == "better"
    assert difference_of("perplexity", {**four, "p_value": 0.03}).verdict == "worse"


def test_a_parent_measured_elsewhere_is_who_a_child_is_compared_with(project, suite, parent, adapted, stand_in, queue):
    for model in (parent, adapted):
        evaluation = evaluation_create(project=project, models=[model], suite="pets")
        queue()
    found = failures.analysis(failures.part_of(evaluation, adapted.pk))
    assert found.previous.evaluation_id == evaluation.pk - 1
    assert len(found.all.fixed) == 1
    assert (found.difference.value, found.difference.verdict, found.passed) == (25, "too few rows", 2)
    rows = {label: [step and (step.failed, step.fixed, step.new) for step in steps] for label, steps in found.table}
    assert rows["All failures"] == [(3, None, None), (2, 1, 0)]
    assert rows["Rule “no dogs”"] == [(2, None, None), (0, 2, 0)]
    assert rows["Rule “exactly”"] == [(0, None, None), (1, 0, 1)]
    assert {group.name: group.about for group in found.rules}["length"] == "length: max 4, unit words"


def test_paraphrases_seeds_and_likeness(project, parent, adapted, stand_in, queue):
    definition = {
        "rules": [
            {"kind": "consistent", "over": "paraphrases", "at_least": 0.6},
            {"kind": "consistent", "over": "seeds", "at_least": 0.9, "name": "seeds"},
            {"kind": "similarity", "at_least": 0.5},
        ]
    }
    items = [
        {"id": "p", "prompt": "red green blue", "paraphrases": ["red green", "one two"], "references": ["red"]},
        {"id": "q", "prompt": "salt", "references": ["salt"]},
    ]
    suite = suite_save(project=project, name="same", definition=definition, items=items)
    assert suite.settings == {"seeds": 3, "temperature": 0.7}
    evaluation = evaluation_create(project=project, models=[parent, adapted], suite="same")
    queue()
    values = {(row.metric, row.model_id): (row.value, row.n) for row in evaluation.results.all()}
    assert values["rule:consistent", adapted.pk] == (0, 1), "q has no paraphrase to be compared with"
    assert values["rule:seeds", adapted.pk] == (100, 2)
    assert values["rule:seeds", parent.pk] == (0, 2)
    assert values["rule:similarity", adapted.pk] == (100, 2)
    assert values["rule:similarity", parent.pk] == (0, 2)
    run = evaluation.parts.first().run
    assert run.spec["settings"]["samples"] == 3
    assert len(ItemResult.objects.get(part__model=parent, item__key="p").answers) == 9


def test_an_imported_model_is_judged_by_its_outputs(project, suite, parent, stand_in, queue):
    imported = model_create(project=project, name="gpt", kind="imported")
    with pytest.raises(DomainError, match="none of its outputs answers a prompt of this suite"):
        evaluation_create(project=project, models=[imported], suite="pets")
    prompt, _ = prompt_get_or_create(project=project, prompt="a dog barks", split="test")
    Output.objects.create(prompt=prompt, model=imported, parts=[{"type": "text", "text": "a dog"}], content_key="1")
    evaluation = evaluation_create(project=project, models=[imported], suite="pets")
    queue()
    assert {row.metric: row.n for row in evaluation.results.all()}["passed"] == 1


def test_a_task_is_scored_row_by_row(project, parent, adapted, stand_in, queue):
    rows = [{"question": "is it", "easy": True, "tags": ["x"]}, {"question": "is it not", "easy": False}]
    suite_save(project=project, name="arc", definition=TASK, items=[*rows, {"question": "e", "example": True, "id": 3}])
    evaluation = evaluation_create(project=project, models=[adapted, parent], suite="arc")
    queue()
    assert set(evaluation.results.values_list("metric", flat=True)) == {"acc", "tag:x"}
    found = failures.analysis(failures.part_of(evaluation, adapted.pk))
    assert (len(found.all.failed), len(found.all.fixed)) == (0, 1)
    spec = evaluation.parts.first().run.spec
    assert spec["data"]["fewshot"] == "data/fewshot.jsonl"
    assert following.prompt_text(ItemResult.objects.filter(part__model=parent, passed=False).get()) == "Q: is it not"


# --- What follows ----------------------------------------------------------------------------------------------------


def test_failures_go_to_raters_with_the_answers_that_were_measured(measured, project, adapted, parent):
    part = failures.part_of(measured, parent.pk)
    made = following.failures_queue(part=part, group="rule:no dogs")
    assert (made.created, made.skipped) == (2, {})
    texts = set(
        Output.objects.filter(prompt__in=Prompt.objects.filter(tags=["pets"])).values_list("model__name", flat=True)
    )
    assert texts == {"tiny", adapted.name}


def test_a_data_request_lists_the_prompts(measured, parent, alice):
    part = failures.part_of(measured, parent.pk)
    wish = following.data_request_create(part=part, group="tag:pets", note="More pets.\x00", by=alice)
    assert wish.prompts == [{"key": "a", "text": "a dog barks"}]
    following.data_request_done(request=wish)
    assert DataRequest.objects.get().done_at
    with pytest.raises(DomainError, match="There is no group"):
        following.data_request_create(part=part, group="rule:nothing")
    with pytest.raises(DomainError, match="Nothing fails here"):
        following.data_request_create(part=failures.part_of(measured, "tiny+dpo-r1"), group="rule:no dogs")


def test_prompts_of_failures_train_nothing(measured, parent):
    following.failures_queue(part=failures.part_of(measured, parent.pk))
    assert set(Prompt.objects.values_list("split", flat=True)) == {"test"}
    assert Task.objects.count() == 2
