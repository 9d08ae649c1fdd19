"""What is counted over frozen rows, and which prompts resemble test prompts; no database."""

import pytest

from feedbackhub.rounds.leaks import leaks
from feedbackhub.rounds.preflight_look import Looked, fitting, look

LONG = "Please write a short note to my neighbour about the noise that his dog makes every single night"


def pair(prompt: str, chosen: str, rejected: str, *, number: int = 1, margin: float | None = 1.0, votes: int = 1):
    data = {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }
    return Looked("train", number, data, margin, votes)


def thumb(prompt: str, text: str, label: bool):
    data = {"prompt": [{"role": "user", "content": prompt}], "completion": [{"role": "assistant", "content": text}]}
    return Looked("train", 1, {**data, "label": label}, 1.0, 1)


def test_pairs_are_counted_by_what_is_wrong_with_them():
    found = look(
        [
            pair("tea?", "long answer", "short"),
            pair("tea?", "long answer", "short", votes=3),  # again
            pair("Tea?", "short", "Long  answer", margin=0.4, votes=2),  # the other way round
            pair("milk?", "a", "bb"),
            pair("milk?", "Yes.", "yes. "),  # the same but for case and space
            pair("milk?", "", "silence"),
        ]
    )
    assert (found.rows, found.repeated, found.conflicts, found.same, found.empty) == (6, 1, 1, 1, 1)
    assert (found.longer, found.unlike_lengths) == (2, 6)
    assert (found.several, found.unanimous) == (2, 1)


def test_a_conflict_is_counted_once_however_often_it_comes_back():
    rows = [pair("tea?", "a", "b"), pair("tea?", "b", "a"), pair("tea?", "a", "b"), pair("tea?", "b", "a")]
    assert look(rows).conflicts == 1


def test_thumbs_are_balanced_and_may_contradict_each_other():
    found = look([thumb("tea?", "green", True), thumb("tea?", "green", False), thumb("tea?", "black", True)])
    assert (found.good, found.bad, found.conflicts, found.repeated) == (2, 1, 1, 0)


def test_lengths_are_estimated_in_tokens():
    found = look([pair("p" * 400, "c" * 40, "r" * 80), pair("p" * 40, "c" * 800, "r" * 40)])
    assert found.tokens == [(106, 26), (16, 206)]
    assert fitting(found.tokens, 300) == (0, 0)
    assert fitting(found.tokens, 120) == (1, 1)


@pytest.mark.parametrize("text", [LONG.upper(), LONG.replace(" ", "  "), f" {LONG}\n"])
def test_the_same_prompt_is_found_whatever_its_case_and_space(text):
    found = leaks([(1, LONG)], [(2, text)])
    assert found.same == [(1, 2)]
    assert not found.near


def test_a_prompt_with_a_word_changed_is_nearly_the_same():
    found = leaks([(1, LONG), (3, "What is tea?")], [(2, LONG.replace("night", "morning")), (4, "What is milk?")])
    assert not found.same
    ((ours, theirs, share),) = found.near
    assert (ours, theirs) == (1, 2)
    assert share == pytest.approx(15 / 17)  # of 16 shingles each, all but the last


def test_what_all_prompts_begin_with_is_a_template_and_no_leak():
    template = "Summarise the following dialogue between two people in one or two short sentences, in the past tense, "
    template += "without naming anybody, and without saying anything that was not said by either of them in it: "
    talks = [f"they spoke of matter {n * 7} and {n * 13}" for n in range(60)]
    found = leaks(
        ((n, template + talk) for n, talk in enumerate(talks[:30])),
        ((n, template + talk) for n, talk in enumerate(talks[30:])),
    )
    assert not found.near


def test_prompts_alone_and_demonstrations_are_looked_at_too():
    asked = {"prompt": [{"role": "user", "content": "tea?"}]}
    shown = {"messages": [*asked["prompt"], {"role": "assistant", "content": ""}]}
    found = look([Looked("train", 1, asked, None, 0), Looked("train", 1, asked, None, 0)])
    assert (found.rows, found.repeated, found.empty, found.conflicts) == (2, 1, 0, 0)
    assert look([Looked("train", 1, shown, None, 1)]).empty == 1
