"""Reward model: chosen answers get a higher number than rejected ones.

With rewards r of a pair's answers and m the row's margin (0 unless it says) times the setting of that name:
  loss  −log σ(r_chosen − r_rejected − m) + c (r_chosen + r_rejected)²
The first term is the Bradley–Terry likelihood (Ouyang et al. 2022, arXiv 2203.02155, equation 1) with a margin (Touvron
et al. 2023, arXiv 2307.09288, equation 2); the second keeps rewards around zero (Eisenstein et al. 2023, arXiv
2312.09244). Each head sees each pair with a weight drawn once from a Poisson distribution of mean 1: a bootstrap.

A ranking is all its pairs, or with `ranking_loss: plackett_luce` a choice of the best among what is left, again and
again (Luce 1959, Individual Choice Behavior; Plackett 1975, Applied Statistics 24; for rewards Zhu et al. 2023, arXiv
2301.11270): the mean of its choices instead of the mean of its pairs, at the same weight. Of two answers both are the
same.
"""

from collections import defaultdict

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..config import RewardSettings
from ..data import Pair, pairs
from ..directory import RunDirectory
from ..loop.checkpoints import checkpoints_remove
from ..loop.training import Training
from ..loop.tuning import prepare, save
from ..networks.reading import is_encoder
from ..rewards import baselines
from ..rewards.answer_sets import answer_sets, common_prompts
from ..rewards.calibration import report, win
from ..rewards.encoders import layout_of
from ..rewards.reward_model import RewardModel, reliability, reward_save, rewards, temperature_of


def preference_losses(found: Tensor, margins: Tensor, centering: float) -> Tensor:
    """Loss of each pair by each head; [pairs, heads]. found: rewards [pairs, 2, heads]; margins: [pairs]."""
    chosen, rejected = found[:, 0], found[:, 1]
    return -logsigmoid(chosen - rejected - margins[:, None]) + centering * (chosen + rejected) ** 2


def item_weights(rows: list[Pair]) -> list[float]:
    """What each pair counts so that no answer counts twice as strong for standing in twice as many comparisons.

    2 / (d(chosen) + d(rejected)), d the number of other answers to the prompt that an answer is compared with: 1 for a
    lone pair, 1 / (k − 1) for each pair of a ranking of k (Ouyang et al. 2022 weigh by ranking, 2 / k(k − 1)).
    """
    compared: dict[tuple, set] = defaultdict(set)
    sides = [[(tuple(pair.prompt), tuple(answer)) for answer in (pair.chosen, pair.rejected)] for pair in rows]
    for chosen, rejected in sides:
        compared[chosen].add(rejected)
        compared[rejected].add(chosen)
    return [2 / (len(compared[chosen]) + len(compared[rejected])) for chosen, rejected in sides]


def plackett_luce(found: Tensor, tiers: Tensor) -> Tensor:
    """The mean negative log-likelihood of a ranking's choices, by each head; [heads].

    found: rewards [answers, heads]. tiers: [answers], 0 for the best. An answer is chosen from itself and all that
    stand below it: of those it is tied with nothing is said. The last tier chooses nothing.
    """
    below = tiers[None, :] > tiers[:, None]
    offered = (below | torch.eye(len(tiers), dtype=torch.bool, device=found.device))[..., None]
    among = found[None].expand(len(tiers), -1, -1).masked_fill(~offered, -torch.inf).logsumexp(1)
    return (among - found)[below.any(1)].mean(0)


class Comparisons:
    """The reward loss of pairs, each with its weight. Without `bootstrap` all heads see all pairs alike.

    A row of the loop is a set of answers to one prompt: a pair's, a ranking's, or with `prompt_sharing: prompts` all.
    """

    def __init__(self, rows: list[Pair], pad: int, settings: RewardSettings, *, bootstrap: bool):
        self.rows, self.pad, self.settings = common_prompts(rows), pad, settings
        whole = settings.prompt_sharing == "prompts"
        self.sets = answer_sets(self.rows, whole_prompts=whole, tokens_at_most=settings.max_length)
        self.counts = item_weights(self.rows) if settings.balance == "answers" else [1.0] * len(rows)
        # Of each pair, as it was measured last: the reward of its chosen answer less that of its rejected one.
        self.differences: dict[int, float] = {}
        self.weights = torch.ones(len(rows), settings.heads)
        if bootstrap and settings.heads > 1:
            generator = torch.Generator().manual_seed(settings.seed)
            self.weights = torch.poisson(self.weights, generator=generator)

    def __len__(self) -> int:
        return len(self.sets)

    def weight(self, row: int) -> float:
        return sum(self.counts[pair] for pair in self.sets[row].pairs)

    def tokens(self, row: int) -> int:
        return self.sets[row].tokens

    def loss(self, model: RewardModel, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        numbers = [pair for row in rows for pair in self.sets[row].pairs]
        found = self.rewards(model, rows)
        counts = torch.tensor([self.counts[pair] for pair in numbers], device=found.device)
        if self.settings.ranking_loss == "pairs":
            loss = (self._pair_losses(found, numbers).mean(dim=1) * counts).sum()
        else:
            loss = self._ranking_losses(found, rows)
        means = found.detach().mean(dim=2)
        differences = means[:, 0] - means[:, 1]
        if not torch.is_grad_enabled():
            self.differences.update(zip(numbers, differences.tolist()))
        right = (differences > 0).float() + (differences == 0).float() / 2
        return loss, {
            "accuracy": (right * counts).sum().item(),
            "margin": (differences * counts).sum().item(),
            "chosen_reward": (means[:, 0] * counts).sum().item(),
            "rejected_reward": (means[:, 1] * counts).sum().item(),
        }

    def _pair_losses(self, found: Tensor, numbers: list[int]) -> Tensor:
        """[pairs, heads], each with its weight in the bootstrap."""
        margins = self.settings.margin * torch.tensor([self.rows[pair].margin for pair in numbers], device=found.device)
        losses = preference_losses(found, margins, self.settings.centering)
        return losses * self.weights[numbers].to(found.device)

    def _ranking_losses(self, found: Tensor, rows: list[int]) -> Tensor:
        """The sum of the rankings' losses, each with the weight of its pairs; a lone pair's is as always.

        A ranking is drawn into a head's bootstrap as a whole, as its first pair is.
        """
        total, start = found.new_zeros(()), 0
        for line in (line for row in rows for line in self.sets[row].rankings):
            part = found[start : start + len(line)]
            start += len(line)
            counts = torch.tensor([self.counts[pair] for pair in line], device=found.device)
            if len(line) == 1:
                total = total + (self._pair_losses(part, line).mean(dim=1) * counts).sum()
                continue
            answers: dict[tuple, tuple[Tensor, int]] = {}
            for rewards_of, pair in zip(part, (self.rows[number] for number in line)):
                for side, answer in enumerate((pair.chosen, pair.rejected)):
                    answers[tuple(answer)] = rewards_of[side], pair.tiers[side]
            tiers = torch.tensor([tier for _, tier in answers.values()], device=found.device)
            losses = plackett_luce(torch.stack([reward for reward, _ in answers.values()]), tiers) * counts.sum()
            losses = losses + (self.settings.centering * (part.sum(dim=1) ** 2) * counts[:, None]).sum(dim=0)
            total = total + (losses * self.weights[line[0]].to(found.device)).mean()
        return total

    def rewards(self, model: RewardModel, rows: list[int]) -> Tensor:
        """Of the sets' pairs, one set after the other; [pairs, 2, heads]."""
        sets = [self.sets[row] for row in rows]
        found = rewards(model, model.answered_batch([(one.prompt, one.answers) for one in sets], self.pad))
        places, first = [], 0
        for one in sets:
            places += [[first + chosen, first + rejected] for chosen, rejected in one.sides]
            first += len(one.answers)
        return found[torch.tensor(places, device=found.device)]

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Its weights follow from the seed."""


@torch.no_grad()
def measured(run: RunDirectory, model: RewardModel, validation: Comparisons) -> None:
    """Take the differences of the validation pairs from the model as it is."""
    model.eval()
    size = validation.settings.batch_size
    for start in range(0, len(validation), size):
        run.check_stop()
        validation.loss(model, list(range(start, min(start + size, len(validation)))))


def calibration(train: Comparisons, validation: Comparisons) -> dict:
    """What the validation rows say of the model: {temperature, reliability, accuracy, baselines, slices, pairs, …}."""
    differences = [validation.differences[pair] for pair in range(len(validation.rows))]
    temperature = temperature_of(differences)
    longer = baselines.longer(validation.rows)
    parts = {"chosen_longer": [], "chosen_shorter": []}
    for difference, length in zip(differences, longer):
        if length:
            parts["chosen_longer" if length > 0 else "chosen_shorter"].append(win(difference))
    return {
        "temperature": temperature,
        "reliability": reliability(differences, temperature),
        "accuracy_by_length": {name: sum(part) / len(part) for name, part in parts.items() if part},
        "longer_accuracy": sum(map(win, longer)) / len(longer),
        "pairs": len(differences),
        **report(train.rows, validation.rows, differences),
    }


def reward(run: RunDirectory, spec: dict, settings: RewardSettings) -> dict:
    """Run the recipe; returns what result.json is to say. Rows: `{prompt, chosen, rejected, margin?}`."""
    ready = prepare(run, spec, settings, pairs)
    layout = layout_of(ready.tokenizer, ready.model) if is_encoder(ready.path) else None
    model = RewardModel(ready.model, settings.heads, layout)
    train = Comparisons(ready.train, ready.pad, settings, bootstrap=True)
    validation = Comparisons(ready.validation, ready.pad, settings, bootstrap=False) if ready.validation else None
    training = Training(run, model, train, validation, settings, ready.identity)
    metrics = training.work()
    if validation and not (training.measured and len(validation.differences) == len(validation.rows)):
        measured(run, model, validation)
    about = calibration(train, validation) if validation else {"temperature": 1.0}
    saved = save(run, spec, settings, ready, metrics, extra=lambda folder: reward_save(model, folder, about))
    checkpoints_remove(run)
    return {**saved, **training.result(), "rows": len(ready.train), "calibration": about}
