"""Reward model: chosen answers get a higher number than rejected ones.

With rewards r of a pair's answers and m the row's margin (0 unless it says) times the setting of that name:
  loss  −log σ(r_chosen − r_rejected − m) + c (r_chosen + r_rejected)²
The first term is the Bradley–Terry likelihood (Ouyang et al. 2022, arXiv 2203.02155, equation 1) with a margin (Touvron
et al. 2023, arXiv 2307.09288, equation 2); the second keeps rewards around zero (Eisenstein et al. 2023, arXiv
2312.09244). Each head sees each pair with a weight drawn once from a Poisson distribution of mean 1: a bootstrap.
"""

from collections import defaultdict

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .. import baselines
from ..calibration import report, win
from ..checkpoints import checkpoints_remove
from ..config import RewardSettings
from ..data import Pair, pairs
from ..directory import RunDirectory
from ..loop import Training
from ..reward_model import RewardModel, reliability, reward_save, rewards, temperature_of
from ..scoring import answers_batch
from ..tuning import prepare, save


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


class Comparisons:
    """The reward loss of pairs, each with its weight. Without `bootstrap` all heads see all pairs alike."""

    def __init__(self, rows: list[Pair], pad: int, settings: RewardSettings, *, bootstrap: bool):
        self.rows, self.pad, self.settings = rows, pad, settings
        self.counts = item_weights(rows) if settings.balance == "answers" else [1.0] * len(rows)
        self.weights = torch.ones(len(rows), settings.heads)
        if bootstrap and settings.heads > 1:
            generator = torch.Generator().manual_seed(settings.seed)
            self.weights = torch.poisson(self.weights, generator=generator)

    def __len__(self) -> int:
        return len(self.rows)

    def weight(self, row: int) -> float:
        return self.counts[row]

    def tokens(self, row: int) -> int:
        return self.rows[row].length + len(self.rows[row].prompt)

    def loss(self, model: RewardModel, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        found = self.rewards(model, rows)
        margins = self.settings.margin * torch.tensor([self.rows[row].margin for row in rows], device=found.device)
        losses = preference_losses(found, margins, self.settings.centering)
        losses = (losses * self.weights[rows].to(found.device)).mean(dim=1)
        counts = torch.tensor([self.counts[row] for row in rows], device=found.device)
        means = found.detach().mean(dim=2)
        differences = means[:, 0] - means[:, 1]
        right = (differences > 0).float() + (differences == 0).float() / 2
        return (losses * counts).sum(), {
            "accuracy": (right * counts).sum().item(),
            "margin": (differences * counts).sum().item(),
            "chosen_reward": (means[:, 0] * counts).sum().item(),
            "rejected_reward": (means[:, 1] * counts).sum().item(),
        }

    def rewards(self, model: RewardModel, rows: list[int]) -> Tensor:
        """[pairs, 2, heads]."""
        batch = answers_batch([self.rows[row] for row in rows], self.pad, model)
        return rewards(model, batch).view(len(rows), 2, -1)

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Its weights follow from the seed."""


@torch.no_grad()
def calibration(run: RunDirectory, model: RewardModel, train: Comparisons, validation: Comparisons) -> dict:
    """What the validation rows say of the model: {temperature, reliability, accuracy, baselines, slices, pairs, …}."""
    model.eval()
    differences: list[float] = []
    size = validation.settings.batch_size
    for start in range(0, len(validation), size):
        run.check_stop()
        found = validation.rewards(model, list(range(start, min(start + size, len(validation))))).mean(dim=2)
        differences += (found[:, 0] - found[:, 1]).tolist()
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
    model = RewardModel(ready.model, settings.heads, settings.seed)
    train = Comparisons(ready.train, ready.pad, settings, bootstrap=True)
    validation = Comparisons(ready.validation, ready.pad, settings, bootstrap=False) if ready.validation else None
    training = Training(run, model, train, validation, settings, ready.identity)
    metrics = training.work()
    about = calibration(run, model, train, validation) if validation else {"temperature": 1.0}
    saved = save(run, spec, settings, ready, metrics, extra=lambda folder: reward_save(model, folder, about))
    checkpoints_remove(run)
    return {**saved, **training.result(), "rows": len(ready.train), "calibration": about}
