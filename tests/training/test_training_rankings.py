"""Rankings in the reward recipe: a prompt computed once for k answers, and Plackett–Luce by hand."""

import math

import pytest
import torch
from training_cast import finished, opinionated, preference_rows

from training import data
from training.config import RewardSettings
from training.data import Example
from training.models import load_base, load_tokenizer
from training.networks.scoring import answered_batch, example_batch, shared_batch
from training.recipes.reward import Comparisons, plackett_luce
from training.rewards.answer_sets import answer_sets
from training.rewards.reward_model import rewards

FOUR = {"prompt": "what is b ?", "ranking": [["good a b c"], ["good"], ["a b"], ["bad bad bad"]]}
TIED = {"prompt": "say a b c d", "ranking": [["good"], ["a", "b c"], ["bad"]]}
SAME_PROMPT = [
    {"prompt": "what is b ?", "chosen": "good", "rejected": "bad"},
    {"prompt": "what is b ?", "chosen": "good", "rejected": "c d e"},
    {"prompt": "what is c ?", "chosen": "good", "rejected": "bad"},
]


def pairs_of(folder, rows: list[dict], max_length: int = 128) -> list[data.Pair]:
    tokens = data.ChatTokens(load_tokenizer(str(folder)), "tiny")
    return data.pairs(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows, 1)], data.Fitting(max_length))


def gradients(model) -> torch.Tensor:
    found = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
    model.zero_grad()
    return found


def test_k_answers_score_as_each_alone_and_pull_alike(tiny):
    """The prompt held once for four, three and two answers, unlike in length: rewards and gradients as alone."""
    pairs = pairs_of(tiny, [FOUR, TIED, *preference_rows()[:2]])
    sets = answer_sets(pairs, whole_prompts=False, tokens_at_most=128)
    assert [len(one.answers) for one in sets] == [4, 4, 2, 2]
    model = opinionated(tiny)
    pull = torch.randn(12, 2, generator=torch.Generator().manual_seed(1))
    together = rewards(model, shared_batch([(one.prompt, one.answers) for one in sets], 0, "cpu"))
    (together * pull).sum().backward()
    ours = gradients(model)
    alone = [Example(one.prompt, answer, 0) for one in sets for answer in one.answers]
    found = rewards(model, example_batch(alone, 0, "cpu"))
    (found * pull).sum().backward()
    torch.testing.assert_close(together, found, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours, gradients(model), rtol=1e-3, atol=1e-4)


def test_many_long_answers_to_a_short_prompt_have_rows_of_their_own(tiny):
    model = load_base(str(tiny), "fp32")
    prompt, answer = [7] * 4, [8] * 120
    assert answered_batch([([7] * 200, [[8] * 4] * 5)], 0, model).ids.shape[0] == 1
    assert answered_batch([(prompt, [answer] * 5)], 0, model).ids.shape[0] == 5


def test_plackett_luce_by_hand():
    """Two heads; a ranking of three, and one with a tie: of the tied nothing is said."""
    found = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
    e = math.exp
    expected = [
        (math.log(e(2) + 1 + e(-1)) - 2 + math.log(1 + e(-1)) - 0) / 2,
        (math.log(1 + e(1) + e(0.5)) - 0 + math.log(e(1) + e(0.5)) - 1) / 2,
    ]
    torch.testing.assert_close(plackett_luce(found, torch.tensor([0, 1, 2])), torch.tensor(expected))
    tied = (math.log(e(2) + e(-1)) - 2 + math.log(1 + e(-1))) / 2
    assert plackett_luce(found[:, :1], torch.tensor([0, 0, 1])).item() == pytest.approx(tied)
    one = plackett_luce(found[:, :1], torch.tensor([0, 1, 1])).item()
    assert one == pytest.approx(math.log(e(2) + 1 + e(-1)) - 2), "one choice: the tied choose nothing"


def loss_of(model, rows, **settings) -> tuple[float, float]:
    asked = RewardSettings(heads=2, **settings)
    made = Comparisons(rows, 0, asked, bootstrap=False)
    numbers = list(range(len(made)))
    return made.loss(model, numbers)[0].item(), sum(map(made.weight, numbers))


def test_a_ranking_counts_as_much_by_either_loss(tiny):
    """Of k answers k / 2, as many as k / 2 lone pairs: no answer twice as strong for being compared more often."""
    model = opinionated(tiny)
    ranking = pairs_of(tiny, [FOUR])
    loss, weight = loss_of(model, ranking, ranking_loss="plackett_luce", centering=0.0)
    assert weight == pytest.approx(2)
    alone = [Example(ranking[0].prompt, answer, 0) for answer in
             (ranking[0].chosen, ranking[0].rejected, ranking[1].rejected, ranking[2].rejected)]  # fmt: skip
    r = rewards(model, example_batch(alone, 0, "cpu")).tolist()
    by_head = [
        sum(math.log(sum(math.exp(r[low][head]) for low in range(top, 4))) - r[top][head] for top in range(3)) / 3
        for head in range(2)
    ]
    assert loss == pytest.approx(2 * sum(by_head) / 2, rel=1e-5)
    centred, _ = loss_of(model, ranking, ranking_loss="plackett_luce", centering=0.1)
    pair_terms = [(r[i][head] + r[j][head]) ** 2 / 3 for i in range(4) for j in range(i + 1, 4) for head in range(2)]
    assert centred - loss == pytest.approx(0.1 * sum(pair_terms) / 2, rel=1e-3)


def test_of_two_answers_both_losses_are_one(tiny):
    model = opinionated(tiny)
    rows = pairs_of(tiny, [{**row, "margin": 0.5} for row in preference_rows()[:3]])
    asked = {"margin": 1.0, "centering": 0.02}
    assert loss_of(model, rows, ranking_loss="plackett_luce", **asked) == pytest.approx(loss_of(model, rows, **asked))


@pytest.mark.parametrize("loss", ["pairs", "plackett_luce"])
def test_all_rows_of_a_prompt_in_one_piece_change_nothing_but_the_work(tiny, loss):
    rows = pairs_of(tiny, [*SAME_PROMPT, FOUR])
    model = opinionated(tiny)
    apart = Comparisons(rows, 0, RewardSettings(heads=2, ranking_loss=loss), bootstrap=True)
    together = Comparisons(
        rows, 0, RewardSettings(heads=2, ranking_loss=loss, prompt_sharing="prompts"), bootstrap=True
    )
    assert (len(apart), len(together)) == (4, 2)
    assert sum(map(together.tokens, range(2))) < sum(map(apart.tokens, range(4)))
    expected, values = apart.loss(model, [0, 1, 2, 3])
    expected.backward()
    pull = gradients(model)
    found, told = together.loss(model, [0, 1])
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert told == pytest.approx(values, rel=1e-4, abs=1e-5)
    torch.testing.assert_close(gradients(model), pull, rtol=1e-3, atol=1e-4)


def test_a_piece_grows_no_longer_than_a_row_may_be(tiny):
    rows = pairs_of(tiny, SAME_PROMPT)
    longest = max(row.length for row in rows)
    sets = answer_sets(rows, whole_prompts=True, tokens_at_most=longest)
    assert sorted(len(one.pairs) for one in sets) == [1, 1, 1]


def test_where_a_long_answer_cuts_the_prompt_it_is_cut_for_all_of_a_ranking(tiny):
    long = {"prompt": "say " + "a b c d " * 5, "ranking": [["good"], ["bad"], ["a b " * 10]]}
    pairs = pairs_of(tiny, [long], max_length=40)
    assert len({tuple(pair.prompt) for pair in pairs}) == 2
    (one,) = Comparisons(pairs, 0, RewardSettings(max_length=40), bootstrap=False).sets
    assert len(one.prompt) == min(len(pair.prompt) for pair in pairs)
    assert len(one.answers) == 3


def test_a_known_order_is_learnt_by_plackett_luce(run_dir):
    rows = [
        {"prompt": row["prompt"], "ranking": [["good"], ["a b c", "a b"], ["red ."], ["bad . ."]]}
        for row in preference_rows()
    ]
    settings = {
        "learning_rate": 0.01,
        "precision": "fp32",
        "heads": 3,
        "max_steps": 60,
        "ranking_loss": "plackett_luce",
    }
    result = finished(
        run_dir("reward", {"train": rows[:6], "validation": rows[6:10]}, {**settings, "prompt_sharing": "prompts"})
    )
    assert result["metrics"]["validation_accuracy"] == pytest.approx(1)
    assert result["calibration"]["pairs"] == result["calibration"]["accuracy"]["n"] == 36
