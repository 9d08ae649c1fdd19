"""The real files, whole."""

import pytest

from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.imports.services import import_create, import_run
from feedbackhub.rating.models import Judgment, JudgmentItem
from feedbackhub.rating.tally import tallies_check

pytestmark = [pytest.mark.django_db, pytest.mark.data]


@pytest.fixture
def real(project, alice, data_dir):
    """real(kind, filename, …): the report of importing one of the real files."""

    def run(kind, filename, **options):
        with (data_dir / filename).open("rb") as file:
            report = import_create(project=project, by=alice, kind=kind, file=file, filename=filename, **options)
        return import_run(report.pk)

    return run


VOTES = [
    ("battles_llmfao_crowd.jsonl", 8931, 59),
    ("battles_wildbench_gpt4turbo_derived.jsonl.gz", 26728, 12),
    ("battles_alpacaeval1_gpt4.jsonl.gz", 41799, 53),
]


@pytest.mark.parametrize(("filename", "votes", "models"), VOTES)
def test_votes(project, real, filename, votes, models):
    report = real("votes", filename)
    assert (report.status, report.read, report.rejected_count) == ("done", votes, 0)
    assert report.created == {"prompts": 0, "models": models, "outputs": 0, "votes": votes}
    assert Judgment.objects.count() == votes
    assert JudgmentItem.objects.count() == 2 * votes
    assert tallies_check(project=project) == []
    again = real("votes", filename)
    assert (again.created["votes"], again.rejected_count, Judgment.objects.count()) == (0, 0, votes)


def test_votes_keep_their_categories_moments_and_lengths(real):
    real("votes", "battles_alpacaeval1_gpt4.jsonl.gz")
    first = Judgment.objects.order_by("occurred_at", "id").first()
    assert (first.category, first.judge, first.question) == ("helpful_base", "gpt-4", "373")
    assert first.occurred_at.timestamp() == 1704067200
    items = first.items.order_by("position").values_list("model__name", "chars", "tier")
    assert list(items) == [("falcon-40b-instruct", 512, 0), ("text_davinci_003", 307, 1)]


def test_prompts_with_outputs(real):
    report = real("outputs", "prompts_with_outputs.jsonl")
    assert (report.read, report.rejected_count) == (200, 0)
    assert report.created == {"prompts": 200, "models": 6, "outputs": 1200}
    assert real("outputs", "prompts_with_outputs.jsonl").created == {"prompts": 0, "models": 0, "outputs": 0}


def test_preferences(project, real):
    report = real("preferences", "preferences_train.jsonl")
    assert (report.read, report.rejected_count) == (3000, 0)
    # 1288 distinct texts, of which two differ from another in case and white space only.
    assert (report.created["prompts"], report.created["preferences"]) == (1286, 3000)
    named = Judgment.objects.exclude(items__model=None).count()
    assert (named, Judgment.objects.count()) == (2026, 3000)
    assert ModelVersion.objects.filter(kind="imported").count() == report.created["models"]
    assert Output.objects.filter(model=None).exists()
    assert tallies_check(project=project) == []
    again = real("preferences", "preferences_train.jsonl")
    assert set(again.created.values()) == {0}


def test_the_held_out_preferences_share_no_prompt_with_the_others(real):
    real("preferences", "preferences_train.jsonl")
    before = Prompt.objects.count()
    report = real("preferences", "preferences_eval.jsonl", field_map={"split": "label_origin.none"})
    assert report.created["preferences"] == 500
    assert report.created["prompts"] == Prompt.objects.count() - before == 268


def test_dialogues_by_a_template(real):
    template = "Summarise this dialogue in one or two sentences.\n\n{dialogue}"
    report = real("prompts", "dialogues.jsonl", template=template, field_map={"category": "topic"})
    assert (report.read, report.rejected_count) == (800, 0)
    assert report.created == {"prompts": Prompt.objects.count()}
    tested = Prompt.objects.filter(split="test")
    assert {len(prompt.references) for prompt in tested} == {3}
    assert set(Prompt.objects.values_list("split", flat=True)) == {"validation", "test"}


def test_pairs_of_human_raters_by_a_map(real):
    fields = {"output_a": "response_a", "output_b": "response_b", "winner": "ratings.annotator1", "id": "item_id"}
    report = real("votes", "multirater_pandalm.jsonl", field_map=fields)
    # Its labels are a, b and tie: only the ties are ours.
    ties = report.created["votes"]
    assert 0 < ties < report.read == 615
    assert report.rejected_count == 615 - ties
    assert report.rejections.first().error.endswith("is none of model_a, model_b, tie, both_bad")
