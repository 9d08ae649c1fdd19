"""A chat with two models: asked at once, answered by a run of its own, judged blind by the rules of rating."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from feedbackhub.catalog.content import messages_of, prompt_digest, split_of
from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.chat import selectors, services, serving
from feedbackhub.chat.models import Answer, Chat, Turn
from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Judgment, PairTally
from feedbackhub.rating.services import judgment_undo, task_next
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.runs.models import Run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def begin(project, alice, models):
    def chat(**how):
        parent, child = models
        return services.chat_create(project=project, by=alice, a=child, b=parent, **how)

    return chat


@pytest.fixture
def say(alice, queue):
    """say(chat, "text") → the turn, answered."""

    def speak(chat, message, **how):
        turn = services.turn_say(chat=chat, by=alice, message=message, **how)
        queue()
        return turn

    return speak


def side_of(chat: Chat, name: str) -> str:
    return "left" if chat.left.name == name else "right"


def texts(turn: Turn) -> dict[str, str]:
    return dict(Answer.objects.filter(turn=turn).values_list("side", "text"))


def test_both_answer_and_the_preferred_answer_is_what_both_go_on_from(begin, say, alice):
    chat = begin()
    turn = say(chat, "tea?", temperature=0.2, max_new_tokens=9)
    child, parent = side_of(chat, "child"), side_of(chat, "parent")
    assert texts(turn) == {child: "TEA?", parent: "?aet"}
    services.verdict_give(turn=turn, by=alice, prefer=child)
    second = say(chat, "more")
    begun = [{"role": "user", "content": "tea?"}, {"role": "assistant", "content": "TEA?"}]
    assert second.asked["left"] == second.asked["right"] == [*begun, {"role": "user", "content": "more"}]
    lines = [json.loads(line) for line in (turn.answers.get(side="left").run.directory / "inbox.jsonl").open()]
    assert [line["settings"] for line in lines] == [{"temperature": 0.2, "max_new_tokens": 9}] * 2


def test_a_verdict_is_a_judgment_that_counts_can_be_changed_and_trains(begin, say, alice, project):
    chat = begin()
    turn = say(chat, "tea?")
    child, parent = side_of(chat, "child"), side_of(chat, "parent")
    assert not Output.objects.exists(), "nothing comes into the catalogue before it is judged"
    services.verdict_give(turn=turn, by=alice, prefer=parent)
    turn.refresh_from_db()
    judgment = services.verdict_give(turn=turn, by=alice, prefer=child)
    turn.refresh_from_db()
    assert services.verdict_give(turn=turn, by=alice, prefer=child) == judgment
    assert [j.supersedes_id is None for j in Judgment.objects.order_by("pk")] == [True, False]
    tally = PairTally.objects.get()
    wins = {tally.model_a.name: tally.wins_a, tally.model_b.name: tally.wins_b}
    assert wins == {"child": 1, "parent": 0}
    assert tally.category == "chat"
    shown = sorted(judgment.items.all(), key=lambda item: item.position)
    assert [item.output.text for item in shown] == [texts(turn)["left"], texts(turn)["right"]]
    prompt = Prompt.objects.get()
    assert prompt.split == split_of(prompt_digest(messages_of("tea?")))
    frozen = dataset_freeze(project=project, by=alice, kind="preference").rows.get()
    assert frozen.data["chosen"][0]["content"] == "TEA?"
    assert task_next(project=project, rater=alice) is None, "nobody else is asked"
    judgment_undo(rater=alice, judgment=judgment)
    assert selectors.turns_of(chat)[0]["taken_back"]
    turn.refresh_from_db()
    services.verdict_give(turn=turn, by=alice, prefer="tie")
    tally = PairTally.objects.get()
    assert (tally.wins_a, tally.wins_b, tally.ties) == (0, 0, 1)


def test_later_turns_keep_to_the_split_of_the_first(begin, say, alice, project):
    from feedbackhub.catalog.services import prompt_get_or_create

    prompt_get_or_create(project=project, prompt="tea?", split="test")
    chat = begin()
    services.verdict_give(turn=say(chat, "tea?"), by=alice, prefer="left")
    services.verdict_give(turn=say(chat, "more"), by=alice, prefer="right")
    assert set(Prompt.objects.values_list("split", flat=True)) == {"test"}


def test_names_are_hidden_until_they_are_asked_for(begin, say, alice, client_of):
    chat = begin()
    turn = say(chat, "tea?")
    browser = client_of(alice)
    url = f"/p/kitchen/chats/{chat.pk}/"
    for place in (url, url + "export/", url + "export/?as=json", "/p/kitchen/chats/"):
        listed = browser.get(place).content.decode().split("<form")[0]
        assert "child" not in listed, place
    services.verdict_give(turn=turn, by=alice, prefer=side_of(chat, "child"))
    browser.post(url + "reveal/")
    page = browser.get(url).content.decode()
    assert "<strong>child</strong> × 1" in page
    turn.refresh_from_db()
    with pytest.raises(DomainError, match="Names have been shown"):
        services.verdict_give(turn=turn, by=alice, prefer="tie")
    assert json.loads(browser.get(url + "export/?as=json").content)["models"]["left"] == chat.left.name
    assert "## 1\n\n> tea?" in browser.get(url + "export/").content.decode()


def test_sides_are_drawn_where_it_is_blind(begin):
    assert {begin().left.name for _ in range(20)} == {"child", "parent"}
    assert {begin(is_blind=False).left.name for _ in range(20)} == {"child"}


@pytest.mark.parametrize(
    ("how", "messages", "words"),
    [
        ({"is_blind": False}, ["tea?"], "Names are shown"),
        ({"follows": "own"}, ["tea?", "more"], "not asked the same"),
        ({}, ["1"], "Both say the same"),
    ],
)
def test_what_cannot_be_judged_is_said(begin, say, alice, how, messages, words):
    chat = begin(**how)
    for message in messages:
        turn = say(chat, message)
    assert words in selectors.turns_of(chat)[-1]["why_not"]
    with pytest.raises(DomainError, match=words):
        services.verdict_give(turn=turn, by=alice, prefer="left")
    assert not Judgment.objects.exists()


def test_a_run_that_fails_is_told_in_words_and_the_chat_goes_on(begin, say):
    chat = begin()
    say(chat, "[fail]")
    assert [side["error"] for side in selectors.turns_of(chat)[0]["sides"]] == [
        "The model does not fit into memory."
    ] * 2
    turn = say(Chat.objects.get(pk=chat.pk), "tea?")
    assert set(texts(turn).values()) == {"TEA?", "?aet"}
    assert turn.asked["left"] == [{"role": "user", "content": "tea?"}], "what went wrong is no part of what is asked"


def test_stopped_before_anybody_took_it(begin, alice, queue):
    chat = begin()
    services.turn_say(chat=chat, by=alice, message="tea?")
    with pytest.raises(DomainError, match="Wait for both answers"):
        services.turn_say(chat=chat, by=alice, message="more")
    services.turn_stop(chat=chat, by=alice)
    queue()
    assert "stopped before" in selectors.turns_of(chat)[0]["sides"][0]["error"]
    with pytest.raises(DomainError, match="Nothing is being answered"):
        services.turn_stop(chat=chat, by=alice)


def test_a_question_that_met_an_ending_process_is_asked_again(begin, say, alice, queue):
    """The models' process ended unasked just as the message was written; its answers are still wanted."""
    chat = begin()
    first = say(chat, "tea?")
    run = first.answers.first().run
    Answer.objects.filter(turn=first, side="left").update(text="", finished_at=None)
    run.events.filter(type="answer", data__id=first.answers.get(side="left").pk).delete()
    serving.sweep()
    queue()
    assert set(texts(first).values()) == {"TEA?", "?aet"}
    assert first.answers.get(side="left").run != run


@pytest.fixture
def idling(begin, alice):
    """A chat whose process has answered and waits, as far as the rows say."""
    chat = begin()
    turn = services.turn_say(chat=chat, by=alice, message="tea?")
    turn.answers.update(text="yes", finished_at=timezone.now())
    Run.objects.filter(chat=chat).update(state="running", lease_expires_at=timezone.now() + timedelta(hours=1))
    return Run.objects.get(chat=chat)


def test_one_person_keeps_one_pair_of_models_loaded(begin, alice, idling):
    services.turn_say(chat=begin(), by=alice, message="tea?")
    idling.refresh_from_db()
    assert idling.state == "stopping"


def test_an_idle_chat_gives_way_to_one_that_waits(project, root, models, idling):
    other = services.chat_create(project=project, by=root, a=models[0], b=models[1])
    services.turn_say(chat=other, by=root, message="tea?")
    serving.sweep()
    idling.refresh_from_db()
    assert idling.state == "running", "it has answered a moment ago"
    Answer.objects.filter(run=idling).update(finished_at=timezone.now() - timedelta(seconds=60))
    serving.sweep()
    idling.refresh_from_db()
    assert idling.state == "stopping"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"message": "  "}, "Write something first"),
        ({"message": "x" * 20_001}, "at most 20000"),
        ({"message": "tea?", "temperature": 9}, "temperature must be a number"),
        ({"message": "tea?", "max_new_tokens": 5000}, "at most 4096"),
    ],
)
def test_wishes_that_cannot_be_met(begin, alice, wish, words):
    with pytest.raises(DomainError, match=words):
        services.turn_say(chat=begin(), by=alice, **wish)


def test_a_chat_needs_two_models_with_weights(project, alice, models):
    from feedbackhub.catalog.services import model_get_or_create_imported

    votes_only = model_get_or_create_imported(project=project, name="votes")
    for pair, words in (((models[0], models[0]), "two models"), ((models[0], votes_only), "no weights here")):
        with pytest.raises(DomainError, match=words):
            services.chat_create(project=project, by=alice, a=pair[0], b=pair[1])


def test_who_may(begin, say, project, bob, dave, eve, root, client_of):
    chat = begin()
    turn = say(chat, "tea?")
    url = f"/p/kitchen/chats/{chat.pk}/"
    for person, status in ((bob, 403), (dave, 403), (eve, 404), (root, 200)):
        assert client_of(person).get(url).status_code == status
    page = client_of(root).get(url).content.decode()
    assert "you can read it" in page
    assert "alice" in client_of(root).post(url + "say/", {"message": "mine"}).content.decode()
    client_of(root).post(f"{url}turns/1/", {"prefer": "left"})
    turn.refresh_from_db()
    assert turn.prefer == ""


def test_the_page_without_scripts(models, alice, client_of, queue):
    browser = client_of(alice)
    assert "No chat yet." in browser.get("/p/kitchen/chats/").content.decode()
    parent, child = models
    form = {"a": child.pk, "b": parent.pk, "blind": "on", "follows": "preferred"}
    url = browser.post("/p/kitchen/chats/", form).url
    assert "Nothing has been said yet." in browser.get(url).content.decode()
    refused = browser.post(url + "say/", {"message": " "})
    assert refused.status_code == 400
    browser.post(url + "say/", {"message": "<b>tea</b>", "temperature": "0"})
    page = browser.get(url).content.decode()
    assert "Waiting for a free worker" in page
    assert "hx-get" in page
    queue()
    page = browser.get(url).content.decode()
    assert "&lt;b&gt;tea&lt;/b&gt;" in page
    assert "<B>" not in page
    assert 'hx-trigger="every' not in page
    browser.post(url + "turns/1/", {"prefer": "tie"})
    assert Judgment.objects.get().items.filter(tier=0).count() == 2
