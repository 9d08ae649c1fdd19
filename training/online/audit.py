"""Whether a policy that its reward praises more and more has become better: what a second reward model says.

A policy learns to please the reward model that it is paid by, and beyond some point only that: the reward goes on
rising while the quality falls that it stands for (Gao et al. 2023, arXiv 2210.10760, with a second, "gold" model as
here). So at each evaluation both look at the answers to the same validation prompts. When the reward has risen since
the evaluation that the audit liked best while the audit, prompt by prompt, likes the answers less, that is no progress.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Fewer prompts tell too little. 99 % and not 95: it is looked at again and again, against the best of several looks.
PROMPTS_AT_LEAST, Z = 16, 2.576


@dataclass(frozen=True)
class Fall:
    """What the audit lost, with its standard error, and the reward gained, since the evaluation `best` (from 0)."""

    best: int
    gained: float
    lost: float
    error: float
    prompts: int

    def words(self) -> str:
        return (
            f"The reward rose by {self.gained:.3g} while the audit, a second reward model that the policy is not paid "
            f"by, likes the answers to {self.prompts} validation prompts less, by {self.lost:.3g} ± "
            f"{Z * self.error:.2g} (99 %): the policy pleases its reward model without becoming better."
        )


def best_look(seen: Tensor) -> int:
    """Which evaluation the audit liked best. seen: [evaluations, prompts, 2], reward and audit of each answer."""
    return int(seen[..., 1].mean(1).argmax())


def fall(seen: Tensor) -> Fall | None:
    """The latest evaluation against the one that the audit liked best, where it says that quality has fallen.

    seen: [evaluations, prompts, 2], the reward and the audit's opinion of an answer to each prompt. By the mean of the
    differences in pairs and its standard error.
    """
    best, prompts = best_look(seen), seen.shape[1]
    if prompts < PROMPTS_AT_LEAST or best == len(seen) - 1:
        return None
    gained, changed = (seen[-1] - seen[best]).double().unbind(-1)
    error = float(changed.std()) / math.sqrt(prompts)
    found = Fall(best, float(gained.mean()), -float(changed.mean()), error, prompts)
    return found if found.gained > 0 and found.lost > Z * error else None


def seen_too(seen: Tensor | None, rewards: Tensor, opinions: Tensor) -> Tensor:
    """The evaluations so far and one more; rewards, opinions: [prompts]."""
    now = torch.stack([rewards, opinions], dim=-1)[None].float()
    return now if seen is None else torch.cat([seen, now])
