"""What lines of each kind make."""

from datetime import UTC, datetime

import pytest

from feedbackhub.catalog.content import messages_of, prompt_digest, split_of
from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.catalog.services import embedded_model
from feedbackhub.rating.models import Judgment

pytestmark = pytest.mark.django_db


def test_prompts_with_all_their_fields(imported):
    report = imported(
        "prompts",
        [
            {
                "prompt": "Why is the sky blue?",
                "references": ["Rayleigh."],
                "category": "why",
                "split": "test",
                "id": 0,
            },
            {"messages": [{"role": "system", "content": "Brief."}, {"role": "user", "content": "And red?"}], "x": 1},
            {"prompt": "Plain", "split": None, "references": None, "category": ""},
        ],
    )
    assert (report.status, report.read, report.created, report.rejected_count) == ("done", 3, {"prompts": 3}, 0)
    sky, red, plain = Prompt.objects.order_by("pk")
    assert (sky.references, sky.category, sky.split, sky.external_id) == (["Rayleigh."], "why", "test", "0")
    assert [message["role"] for message in red.messages] == ["system", "user"]
    assert plain.split == split_of(prompt_digest(messages_of("Plain")))


def test_languages_are_tags_and_names_become_some(imported, rejections):
    told = [
        {"prompt": "Eins", "language": "German"},
        {"prompt": "Um", "language": "pt-BR"},
        {"prompt": "?", "language": "x y"},
    ]
    report = imported("prompts", told)
    assert list(Prompt.objects.order_by("pk").values_list("language", flat=True)) == ["de", "pt-BR"]
    assert '"x y" is neither a tag' in rejections(report)[3]


def test_messages_win_over_prompt(imported):
    imported("prompts", [{"prompt": "No", "messages": [{"role": "user", "content": "Yes"}]}])
    assert Prompt.objects.get().text == "Yes"


def test_the_split_of_the_first_import_stays(imported):
    imported("prompts", [{"prompt": "One", "split": "test"}])
    report = imported("prompts", [{"prompt": "one", "split": "train"}])
    assert report.created == {"prompts": 0}
    assert Prompt.objects.get().split == "test"


@pytest.mark.parametrize("name", ["dev", "val", "valid", "validation"])
def test_what_other_tools_call_the_validation_split(imported, name):
    imported("prompts", [{"prompt": "One", "split": name}])
    assert Prompt.objects.get().split == "validation"


def test_outputs_make_prompts_models_and_outputs(imported):
    report = imported(
        "outputs",
        [
            {"prompt": "Why?", "outputs": [{"model": "small", "text": "So."}, {"model": "large", "text": "Because."}]},
            {"prompt": "How?", "outputs": [{"model": "small", "text": "Thus."}]},
        ],
    )
    assert report.created == {"prompts": 2, "models": 2, "outputs": 3}
    assert set(ModelVersion.objects.filter(kind="imported").values_list("name", flat=True)) == {"small", "large"}
    assert Output.objects.get(model__name="large").text == "Because."


def test_two_outputs_by_one_model_are_two_even_when_they_are_equal(imported):
    outputs = [{"model": "small", "text": text} for text in ("So.", "So.", "Thus.")]
    report = imported("outputs", [{"prompt": "Why?", "outputs": outputs}])
    assert report.created["outputs"] == 3


def test_an_output_a_line(imported):
    report = imported("outputs", [{"prompt": "Why?", "model": "small", "text": "So."}])
    assert report.created == {"prompts": 1, "models": 1, "outputs": 1}


def test_outputs_go_to_the_model_that_has_the_name(imported):
    report = imported("outputs", [{"prompt": "Why?", "outputs": [{"model": "smollm2-135m", "text": "So."}]}])
    assert report.created["models"] == 0
    assert Output.objects.get().model == embedded_model()


def test_votes_without_texts_name_models_and_lengths_only(imported):
    report = imported(
        "votes",
        [
            {
                "id": 0,
                "model_a": "small",
                "model_b": "large",
                "winner": "model_b",
                "judge": "ann",
                "question_id": 17,
                "chars_a": 12,
                "chars_b": "345",
                "category": "why",
                "timestamp": 1704067200,
            }
        ],
    )
    assert report.created == {"prompts": 0, "models": 2, "outputs": 0, "votes": 1}
    vote = Judgment.objects.get()
    assert (vote.kind, vote.source, vote.judge, vote.category) == ("pairwise", "votes", "ann", "why")
    assert vote.occurred_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert vote.prompt is None
    items = vote.items.order_by("position").values_list("model__name", "tier", "output", "chars")
    assert list(items) == [("small", 1, None, 12), ("large", 0, None, 345)]


@pytest.mark.parametrize(
    ("winner", "tiers", "none_acceptable"),
    [("model_a", [0, 1], False), ("model_b", [1, 0], False), ("tie", [0, 0], False), ("both_bad", [0, 0], True)],
)
def test_the_winner_of_a_vote(imported, winner, tiers, none_acceptable):
    imported("votes", [{"model_a": "small", "model_b": "large", "winner": winner}])
    vote = Judgment.objects.get()
    assert list(vote.items.order_by("position").values_list("tier", flat=True)) == tiers
    assert vote.none_acceptable is none_acceptable


@pytest.mark.parametrize(
    "timestamp",
    [1704067200, 1704067200.0, "1704067200", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", "2024-01-01"],
)
def test_moments_of_votes(imported, timestamp):
    imported("votes", [{"model_a": "a", "model_b": "b", "winner": "tie", "timestamp": timestamp}])
    assert Judgment.objects.get().occurred_at == datetime(2024, 1, 1, tzinfo=UTC)


def test_votes_without_a_moment_are_in_the_order_of_their_lines(imported):
    winners = ["model_a", "tie", "model_b", "both_bad"]
    report = imported("votes", [{"model_a": "a", "model_b": "b", "winner": winner} for winner in winners])
    votes = Judgment.objects.order_by("occurred_at", "id")
    assert {vote.occurred_at for vote in votes} == {report.created_at}
    assert [vote.none_acceptable for vote in votes] == [False, False, False, True]


def test_votes_with_prompt_and_texts_keep_them_and_their_lengths(imported):
    line = {
        "model_a": "a",
        "model_b": "b",
        "winner": "model_a",
        "prompt": "Why?",
        "output_a": "So.",
        "output_b": "Thus.",
    }
    report = imported("votes", [{**line, "split": "test", "chars_b": 99}])
    assert report.created == {"prompts": 1, "models": 2, "outputs": 2, "votes": 1}
    vote = Judgment.objects.get()
    assert (vote.prompt.text, vote.prompt.split) == ("Why?", "test")
    assert [(item.output.text, item.chars) for item in vote.items.order_by("position")] == [("So.", 3), ("Thus.", 99)]


def test_a_vote_is_linked_to_the_prompt_imported_with_its_question_id(imported):
    imported("prompts", [{"prompt": "Why?", "id": 7, "category": "why"}, {"prompt": "How?", "id": 8}])
    imported("votes", [{"model_a": "a", "model_b": "b", "winner": "tie", "question_id": "7", "output_a": "So."}])
    vote = Judgment.objects.get()
    assert vote.prompt == Prompt.objects.get(external_id="7")
    assert vote.category == "why"
    assert vote.items.get(position=0).output.text == "So."
    assert vote.items.get(position=1).output is None


def test_preferences_are_judgments_that_train(imported):
    line = {
        "id": "p1",
        "prompt": "Why?",
        "chosen": "Because of light.",
        "rejected": "No idea.",
        "chosen_model": "large",
        "rejected_model": "small",
        "source": "survey",
        "split": "train",
    }
    report = imported("preferences", [line])
    assert report.created == {"prompts": 1, "models": 2, "outputs": 2, "preferences": 1}
    judgment = Judgment.objects.get()
    assert (judgment.source, judgment.judge, judgment.prompt.split) == ("preferences", "survey", "train")
    items = judgment.items.order_by("tier")
    assert [(item.model.name, item.output.text, item.chars) for item in items] == [
        ("large", "Because of light.", 17),
        ("small", "No idea.", 8),
    ]


def test_preferences_without_models_are_nobodys_outputs(imported):
    report = imported("preferences", [{"prompt": "Why?", "chosen": "Light.", "rejected": "No."}] * 2)
    assert report.created == {"prompts": 1, "models": 0, "outputs": 2, "preferences": 2}
    assert {output.model for output in Output.objects.all()} == {None}
    assert {item.model for judgment in Judgment.objects.all() for item in judgment.items.all()} == {None}


def test_conversational_preferences_as_trainers_export_them(imported):
    turns = [{"role": "user", "content": "Why?"}]
    good, bad = ({"role": "assistant", "content": text} for text in ("Light.", "No."))
    imported("preferences", [{"prompt": turns, "chosen": [good], "rejected": [bad]}])
    report = imported("preferences", [{"chosen": [*turns, good], "rejected": [*turns, bad]}])
    assert report.created == {"prompts": 0, "models": 0, "outputs": 0, "preferences": 1}
    assert Prompt.objects.get().text == "Why?"
    assert set(map(str, (output.text for output in Output.objects.all()))) == {"Light.", "No."}
