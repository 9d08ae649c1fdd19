"""What an answer is worth to a reinforcement recipe: a reward model, rules, or a weighted sum of both.

And what a second reward model, the audit, thinks of it, by which the policy is not paid.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import stdev

from ..config import Online
from ..data import ChatTokens, Example, Fitting
from ..directory import RunDirectory
from ..errors import TrainingError
from ..loop.tuning import Prepared
from ..models import Base, base_of, fingerprint, load_tokenizer
from ..networks.reading import tokens_of
from ..rewards.reward_model import answer_rewards, reward_check
from .audit import PROMPTS_AT_LEAST
from .roles import AUDIT, REWARD, Roles
from .rules import Rule, rules_of

DOUBT = "doubt"


def reward_base(spec: dict, name: str = REWARD) -> Base | None:
    """run.json's `reward` (or `audit`), checked as far as that goes without loading it; None when there is none."""
    if not spec.get(name):
        return None
    base = base_of({"base": spec[name]})
    reward_check(base)
    return base


@dataclass
class Judge:
    """Scores answers: reward_weight × the reward model's opinion + rule_weight × the mean of the rules.

    The opinion is what the recipe `score` says of the same prompt and text: same tokens, same function, same units.
    """

    roles: Roles
    settings: Online
    rules: list[Rule]
    tokens: ChatTokens | None = None
    pad: int = 0
    identity: dict[str, str] = field(default_factory=dict)
    role: str = REWARD

    def __call__(
        self, questions: list[list[dict]], texts: list[str], check_stop: Callable[[], None], batch_size: int
    ) -> tuple[list[float], dict[str, list[float]]]:
        """(scores, {part: its numbers before the weights}) of the texts as answers to the conversations.

        A reward model of several heads has their standard deviation as a part that does not count, the doubt.
        """
        parts = {}
        if self.rules:
            parts["rules"] = [sum(rule(text) for rule in self.rules) / len(self.rules) for text in texts]
        if self.tokens:
            heads = self.opinions(questions, texts, check_stop, batch_size)
            parts["reward_model"] = [sum(values) / len(values) for values in heads]
            if len(heads[0]) > 1:
                parts[DOUBT] = [stdev(values) for values in heads]
        weights = {"rules": self.settings.rule_weight, "reward_model": self.settings.reward_weight, DOUBT: 0.0}
        scores = [sum(weights[name] * parts[name][n] for name in parts) for n in range(len(texts))]
        return scores, parts

    def opinions(self, questions: list[list[dict]], texts: list[str], check_stop, batch_size) -> list[list[float]]:
        """What each head of the reward model says of each text; [texts][heads]."""
        answers = []
        for messages, text in zip(questions, texts):
            answer = self.tokens.answer(messages, text)
            prompt = self.tokens.fit(Fitting(self.settings.max_length), self.tokens.prompt(messages), len(answer), 0)
            answers.append(Example(prompt or [], answer, None))
        with self.roles.rewarding(self.role) as model:
            return answer_rewards(model, answers, self.pad, batch_size=batch_size, check_stop=check_stop)


def judge_of(run: RunDirectory, spec: dict, settings: Online, ready: Prepared, roles: Roles) -> Judge:
    """The judge that run.json and the settings ask for. Raises TrainingError when they ask for none."""
    judge = Judge(roles, settings, rules_of(settings))
    if base := reward_base(spec):
        _reads(judge, base, run, settings, ready)
    return judge


def audit_of(run: RunDirectory, spec: dict, settings: Online, ready: Prepared, roles: Roles) -> Judge | None:
    """The second reward model of run.json's `audit`, if there is one, which looks at validation answers."""
    base = reward_base(spec, AUDIT)
    if base is None:
        return None
    if not ready.validation:
        run.warn(
            "run.json names an audit, which looks at answers to validation prompts; there is none, so that it sees "
            "nothing. Add data.validation."
        )
        return None
    if len(ready.validation) < PROMPTS_AT_LEAST:
        run.warn(
            f"The audit looks at answers to {len(ready.validation)} validation prompts; with fewer than "
            f"{PROMPTS_AT_LEAST} it is shown and stops nothing. Add validation prompts, or raise validation_rows."
        )
    audit = Judge(roles, settings, [], role=AUDIT)
    _reads(audit, base, run, settings, ready)
    return audit


def _reads(judge: Judge, base: Base, run: RunDirectory, settings: Online, ready: Prepared) -> None:
    """Give a judge its reward model, on the roles' shared body where it belongs there."""
    judge.roles.reward_add(base, ready.path, settings, run, judge.role)
    tokenizer = load_tokenizer(base.path)
    judge.identity[judge.role] = fingerprint(reward_check(base))
    judge.tokens = tokens_of(tokenizer, base.path)
    judge.pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def judge_check(spec: dict, settings: Online) -> None:
    """Raise TrainingError, before anything is loaded, unless there is something to learn from that can be used."""
    reward, audit = reward_base(spec), reward_base(spec, AUDIT)
    if reward is None and not rules_of(settings):
        raise TrainingError(
            "bad_run",
            f"{settings.recipe} needs something that says what a good answer is: name a reward model in run.json's "
            "reward, such as {path, adapter}, or set a rule, such as rule_max_words.",
        )
    if audit and reward and reward_check(audit) == reward_check(reward):
        raise TrainingError(
            "bad_run",
            "run.json: audit is the reward model itself, which cannot tell that it is deceived. Name another one, "
            "trained on other judgments.",
        )
