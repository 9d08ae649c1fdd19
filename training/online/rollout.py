"""A rollout: the answers that a policy wrote, with what is known of them, as a checkpoint keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..data import Example, Question
from ..networks.scoring import Batch, answer_logits, chosen_logprobs, token_entropies


@dataclass
class Rollout:
    """Answers that the policy wrote, and what is known of them when they are learnt from.

    rows: the number of each answer's prompt. ended: whether it ended by itself. of_answers: {name: [answers]}.
    of_tokens: {name: [tokens of all answers, one after another]}.
    """

    number: int
    rows: list[int]
    examples: list[Example]
    ended: list[bool]
    texts: list[str] = field(default_factory=list)
    of_answers: dict[str, Tensor] = field(default_factory=dict)
    of_tokens: dict[str, Tensor] = field(default_factory=dict)

    @property
    def lengths(self) -> list[int]:
        return [len(example.answer) for example in self.examples]

    def split(self, name: str) -> list[Tensor]:
        """A per-token tensor as one tensor an answer."""
        return list(self.of_tokens[name].split(self.lengths))

    def tokens(self, name: str, answers: Sequence[int], device) -> Tensor:
        """A per-token tensor of some answers, in the order of a batch of them."""
        parts = self.split(name)
        return torch.cat([parts[answer] for answer in answers]).to(device)

    def totals(self, name: str) -> Tensor:
        """The sum of a per-token tensor over each answer; [answers]."""
        return torch.stack([part.sum() for part in self.split(name)])

    @classmethod
    def joined(cls, parts: "Sequence[Rollout]") -> "Rollout":
        """One of several, one after another."""
        if len(parts) == 1:
            return parts[0]
        found = cls(-1, [], [], [])
        for part in parts:
            found.rows += part.rows
            found.examples += part.examples
            found.ended += part.ended
            found.texts += part.texts
        for kind in ("of_answers", "of_tokens"):
            for name in getattr(parts[0], kind):
                getattr(found, kind)[name] = torch.cat([getattr(part, kind)[name] for part in parts])
        return found

    def state(self) -> dict[str, Tensor]:
        """As tensors for a checkpoint; the prompts and the texts are not in it."""
        kept = {
            "rollout/number": torch.tensor([self.number]),
            "rollout/rows": torch.tensor(self.rows),
            "rollout/lengths": torch.tensor(self.lengths),
            "rollout/answers": torch.tensor([token for example in self.examples for token in example.answer]),
            "rollout/ended": torch.tensor(self.ended),
        }
        kept |= {f"rollout/of_answers/{name}": value for name, value in self.of_answers.items()}
        kept |= {f"rollout/of_tokens/{name}": value for name, value in self.of_tokens.items()}
        return {name: value.contiguous() for name, value in kept.items()}

    @classmethod
    def of_state(cls, tensors: dict[str, Tensor], prompts: list[Question]) -> "Rollout | None":
        """What `state` gave, if it gave anything."""
        if "rollout/number" not in tensors:
            return None
        rows = tensors["rollout/rows"].tolist()
        answers = tensors["rollout/answers"].split(tensors["rollout/lengths"].tolist())
        examples = [Example(prompts[row].prompt, answer.tolist(), None) for row, answer in zip(rows, answers)]
        found = cls(int(tensors["rollout/number"]), rows, examples, tensors["rollout/ended"].tolist())
        for kind in ("of_answers", "of_tokens"):
            start = f"rollout/{kind}/"
            getattr(found, kind).update({n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)})
        return found


# --- Log-probabilities -----------------------------------------------------------------------------------------------


def token_logprobs(model, batch: Batch, temperature: float) -> Tensor:
    """Log-probability of each of the answers' tokens when sampled at this temperature; [tokens], fp32."""
    return chosen_logprobs(answer_logits(model, batch), batch.targets, temperature)


@torch.no_grad()
def logprobs_and_entropy(model, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
    """Likewise, with the entropy in nats of the distribution that each token was drawn from; both [tokens]."""
    logits = answer_logits(model, batch)
    return chosen_logprobs(logits, batch.targets, temperature), token_entropies(logits, temperature)
