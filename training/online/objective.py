"""What grpo, rloo and ppo share: prompts → sampled answers → scores, kept as a rollout that some steps learn from.

Each answer's random stream follows from seed, rollout and place, the order of the steps from seed and rollout, and the
rollout is part of the checkpoint: a run that is resumed, in the middle of a rollout too, comes to the same weights.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..config import Online
from ..data import Example, Question
from ..directory import RunDirectory
from ..errors import TrainingError
from ..loop.tuning import Prepared
from ..networks.decoding import Answer, Decoding, decode, end_tokens
from ..networks.scoring import Batch, examples_batch
from ..outputs import stream_seed
from ..processes import ALONE
from .judge import DOUBT, Judge
from .roles import AUDIT, Roles
from .rollout import Rollout, logprobs_and_entropy, token_logprobs
from .vllm_rollout import VllmEngine

TREND = 5  # rollouts whose means are compared
LENGTH_GROWTH = DOUBT_GROWTH = 1.5


# --- An objective whose rows are the answers of the latest rollout ---------------------------------------------------


class OnlineObjective:
    """Prompts that the policy answers, and the loss of its answers. A recipe says what advantages and loss are.

    Row i is answer i of the rollout; the answers to one prompt stand together.
    """

    has_critic = False
    neighbours = True  # the prompt of answers that stand together is computed once
    audit: Judge | None = None  # of validation prompts: a second reward model, by which the policy is not paid

    def __init__(self, run: RunDirectory, ready: Prepared, prompts: list[Question], judge: Judge, settings: Online):
        self.run, self.ready, self.prompts, self.judge, self.settings = run, ready, prompts, judge, settings
        self.processes = run.processes if run else ALONE
        self.rollout: Rollout | None = None
        self.history = torch.zeros(0, 3)  # each rollout's mean reward, length and doubt
        self.alarm: str | None = None
        # What the audit has seen, at which steps; [evaluations, prompts, 2], reward and opinion, see audit.py.
        self.audited: Tensor | None = None
        self.audited_at: list[int] = []
        self.shown: dict[str, float] = {}
        self.engine: VllmEngine | None = None  # what writes the answers; else our own decoder
        self.split = 1  # in how many parts batches go through the model, where the memory wants it

    def __len__(self) -> int:
        """Answers of a rollout, those of all processes together."""
        return self.settings.rollout_prompts * self.settings.num_generations * self.processes.count

    @property
    def updates_an_epoch(self) -> int:
        """Steps that go once through a rollout."""
        here = self.settings.batch_size * self.settings.gradient_accumulation
        return math.ceil(len(self) / (here * self.processes.count))

    @property
    def updates(self) -> int:
        """Steps that learn from one rollout."""
        return self.updates_an_epoch * self.settings.update_epochs

    def weight(self, row: int) -> float:
        return 1.0

    def tokens(self, row: int) -> int:
        return self.rollout.examples[row].length

    # What a recipe adds:

    def regard(self, roles: Roles, rollout: Rollout, check_stop: Callable[[], None]) -> None:
        """Put into this process's part of a rollout what a model must say of its answers."""

    def weigh(self, roles: Roles, rollout: Rollout, check_stop: Callable[[], None]) -> dict[str, float]:
        """Put the advantages into the rollout; returns metrics of it."""
        raise NotImplementedError

    def loss(self, roles: Roles, rows: list[int]) -> tuple[Tensor, dict[str, float]]:
        raise NotImplementedError

    # --- A rollout -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def roll_out(self, roles: Roles, number: int, rows: list[int], check_stop: Callable[[], None]) -> None:
        """Let the policy answer the prompts of these rows, score the answers, and find their advantages."""
        roles.eval()
        each = self.settings.num_generations
        rows = [row for row in rows for _ in range(each)]
        seeds = [stream_seed(self.settings.seed, "rollout", number, place) for place in range(len(rows))]
        rollout, scores, parts = self._answered(roles, rows, seeds, check_stop, self.regard)
        rollout.number = number
        self.shown = {**self.measured(rollout, scores, parts), **self.weigh(roles, rollout, check_stop)}
        self.rollout = rollout
        self._look_out(rollout)

    def _answered(
        self, roles: Roles, rows: list[int], seeds: list[int], check_stop: Callable[[], None], regard=None
    ) -> tuple[Rollout, Tensor, dict[str, list[float]]]:
        """(answers to the prompts of the rows, their scores, the scores' parts); each process writes a part of them."""

        few = len(rows) < self.processes.count  # then each writes them all, and one counts

        def part() -> tuple[Rollout, Tensor, dict[str, list[float]]]:
            mine, streams = (rows, seeds) if few else (self.processes.part(rows), self.processes.part(seeds))
            rollout = self.write(roles, mine, streams, check_stop)
            scores, parts = self.score(rollout, check_stop)
            self.compare(roles, rollout, check_stop)
            if regard:
                regard(roles, rollout, check_stop)
            return rollout, scores, parts

        found = self.processes.together(part)
        rollouts, scores, parts = zip(*(found[:1] if few else found))
        names = parts[0]
        return Rollout.joined(rollouts), torch.cat(scores), {name: sum((p[name] for p in parts), []) for name in names}

    def write(self, roles: Roles, rows: list[int], seeds: list[int], check_stop: Callable[[], None]) -> Rollout:
        """An answer to the prompt of each row."""
        tokenizer, prompts = self.ready.tokenizer, [self.prompts[row].prompt for row in rows]
        how = Decoding(max_new_tokens=self.settings.max_new_tokens, temperature=self.settings.temperature)
        engine, ends = self.engine or self._decoded, end_tokens(roles.policy, tokenizer)
        rollout = Rollout(-1, rows, [], [])
        for prompt, answer in zip(prompts, engine(roles.acting(), prompts, how, seeds, ends, check_stop), strict=True):
            ended = answer.end is not None
            rollout.examples.append(Example(prompt, [*answer.tokens, *([answer.end] if ended else [])], None))
            rollout.ended.append(ended)
            rollout.texts.append(tokenizer.decode(answer.tokens, skip_special_tokens=True).strip())
        return rollout

    def _decoded(self, policy, prompts, how: Decoding, seeds: list[int], ends: set[int], check_stop) -> list[Answer]:
        """Answers to the prompts by our own decoder: left-padded batches with a cache."""
        size = math.ceil(self.settings.rollout_batch_size / self.split)
        found = []
        for start in range(0, len(prompts), size):
            some, streams = prompts[start : start + size], seeds[start : start + size]
            asked = {"seeds": streams, "ends": ends, "pad": self.ready.pad, "check_stop": check_stop}
            found += decode(policy, some, how, **asked)
        return found

    def score(self, rollout: Rollout, check_stop: Callable[[], None]) -> tuple[Tensor, dict[str, list[float]]]:
        """(the judge's scores [answers], their parts); the rollout gets them less the penalty for not ending."""
        messages = [self.prompts[row].messages for row in rollout.rows]
        size = math.ceil(self.settings.rollout_batch_size / self.split)
        scores, parts = self.judge(messages, rollout.texts, check_stop, size)
        if self.audit:
            heads = self.audit.opinions(messages, rollout.texts, check_stop, size)
            parts = {**parts, AUDIT: [sum(values) / len(values) for values in heads]}
        scores = torch.tensor(scores)
        unended = ~torch.tensor(rollout.ended)
        rollout.of_answers["reward"] = scores - self.settings.missing_eos_penalty * unended
        return scores, parts

    @torch.no_grad()
    def compare(self, roles: Roles, rollout: Rollout, check_stop: Callable[[], None]) -> None:
        """Log-probabilities by the policy that wrote (`old`) and by the reference, and the entropy, of each token."""
        found = {"old": [], "reference": [], "entropy": []}
        for batch in self.batches(roles, rollout):
            check_stop()
            old, entropy = logprobs_and_entropy(roles.acting(), batch, self.settings.temperature)
            with roles.reference() as parent:
                reference = token_logprobs(parent, batch, self.settings.temperature)
            for name, values in (("old", old), ("reference", reference), ("entropy", entropy)):
                found[name].append(values.cpu())
        rollout.of_tokens |= {name: torch.cat(values) for name, values in found.items()}

    def batches(self, roles: Roles, rollout: Rollout) -> list[Batch]:
        """All answers of a rollout, in order, by as many as a step takes at once."""
        size = math.ceil(self.settings.batch_size / self.split)
        parts = (rollout.examples[start : start + size] for start in range(0, len(rollout.examples), size))
        return [examples_batch(part, self.ready.pad, roles.policy) for part in parts]

    def batch(self, roles: Roles, rows: list[int]) -> Batch:
        """Some answers of the rollout, in this order."""
        return examples_batch([self.rollout.examples[row] for row in rows], self.ready.pad, roles.policy)

    def measured(self, rollout: Rollout, scores: Tensor, parts: dict[str, list[float]]) -> dict[str, float]:
        """What is told of every rollout. kl: nats an answer, a sample's estimate; entropy: nats a token."""
        kept, apart = rollout.of_tokens, {DOUBT, AUDIT}
        several = len(parts.keys() - apart) > 1
        return {
            "reward": scores.mean().item(),
            "reward_std": scores.std().item() if len(scores) > 1 else 0.0,
            **{name: sum(values) / len(values) for name, values in parts.items() if several or name in apart},
            "kl": (kept["old"] - kept["reference"]).sum().item() / len(scores),
            "entropy": kept["entropy"].mean().item(),
            "answer_tokens": sum(rollout.lengths) / len(scores),
            "cut_share": 1 - sum(rollout.ended) / len(scores),
        }

    @torch.no_grad()
    def examine(self, roles: Roles, check_stop: Callable[[], None]) -> dict[str, float]:
        """What `measured` tells of one answer to each prompt, by the same random streams each time; loss: −reward."""
        roles.eval()
        rows = list(range(len(self.prompts)))
        seeds = [stream_seed(self.settings.seed, "validation", row) for row in rows]
        rollout, scores, parts = self._answered(roles, rows, seeds, check_stop)
        values = self.measured(rollout, scores, parts)
        self.looked = scores, torch.tensor(parts[AUDIT]) if self.audit else None
        return {"loss": -values["reward"], **values}

    # --- Alarms --------------------------------------------------------------------------------------------------

    def _look_out(self, rollout: Rollout) -> None:
        """Stop when the policy runs away from its parent; warn when the reward rises by what is not to be trusted.

        That is with the answers' length, or with the doubt of the reward model's heads (Coste et al. 2024, arXiv
        2310.02743: such answers are of a kind that the reward model has not learnt from).
        """
        far = (rollout.of_tokens["old"] - rollout.of_tokens["reference"]).mean().item()
        if self.settings.max_kl and not far <= self.settings.max_kl:
            raise TrainingError(
                "kl_blew_up",
                f"In rollout {rollout.number + 1} the policy is {far:.2f} nats a token away from its parent; max_kl is "
                f"{self.settings.max_kl:g}. It no longer writes the parent's language, and the reward says little of "
                "such answers. Raise beta or lower learning_rate, remove checkpoints/ and run it again.",
            )
        now = torch.tensor([[self.shown["reward"], self.shown["answer_tokens"], self.shown.get(DOUBT, 0.0)]])
        self.history = torch.cat([self.history, now])
        if len(self.history) == 2 * TREND or (len(self.history) > 2 * TREND and len(self.history) % (4 * TREND) == 0):
            self._hacking(self.history[:TREND].mean(0).tolist(), self.history[-TREND:].mean(0).tolist())

    def _hacking(self, first: list[float], last: list[float]) -> None:
        """Warn when the reward rose by what it is not meant for. first, last: means of reward, length and doubt."""
        (reward, length, doubt), (reward_now, length_now, doubt_now) = first, last
        if reward_now <= reward:
            return
        rose, signs = f"The reward rose from {reward:.2f} to {reward_now:.2f} while", []
        if length_now > LENGTH_GROWTH * length:
            signs.append(
                f"{rose} answers grew from {length:.0f} to {length_now:.0f} tokens: the model may be paid for length. "
                "Read samples, or set rule_max_words."
            )
        if doubt_now > DOUBT_GROWTH * doubt > 0:
            signs.append(
                f"{rose} the reward model's heads came to differ by {doubt_now:.2f} instead of {doubt:.2f}: the "
                "answers may please it without being better. Read samples, raise beta, or stop and rate some of them."
            )
        for sign in signs:
            self.run.warn(sign)
        if signs and self.settings.on_hacking == "any":
            self.alarm = signs[0]

    # --- Checkpoints ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        audited = (
            {} if self.audited is None else {"audit/seen": self.audited, "audit/at": torch.tensor(self.audited_at)}
        )
        return {"history": self.history, **audited, **(self.rollout.state() if self.rollout else {})}

    def load(self, tensors: dict[str, Tensor]) -> None:
        history = tensors["history"]
        if "audit/seen" in tensors:
            self.audited, self.audited_at = tensors["audit/seen"], tensors["audit/at"].tolist()
        self.history = pad(history, (0, 3 - history.shape[1]))  # of an earlier version, without the doubt
        self.rollout = Rollout.of_state(tensors, self.prompts)
