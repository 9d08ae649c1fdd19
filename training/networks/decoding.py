"""Writing answers: batches with a key–value cache, one random stream an answer."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .scoring import head_only_at
from .sources import DecoderRows


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


@dataclass
class Answer:
    """What a model wrote. tokens: without the end token. finish_reason: stop (it ended by itself) or length.

    end: the token that it ended with, if it did.
    """

    tokens: list[int]
    finish_reason: str
    latency_ms: int
    end: int | None = None


def end_tokens(model, tokenizer) -> set[int]:
    """The tokens that end an answer: the tokenizer's and the model's."""
    of_model = getattr(model.generation_config, "eos_token_id", None)
    of_model = of_model if isinstance(of_model, list) else [of_model]
    return {token for token in [*of_model, tokenizer.eos_token_id] if token is not None}


@torch.inference_mode()
def decode(
    model,
    prompts: Sequence[list[int]],
    how: Decoding,
    *,
    seeds: Sequence[int],
    ends: set[int],
    pad: int,
    check_stop: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """Answers to the prompts (token ids), all in one batch.

    seeds: of each answer's random stream. check_stop: called before each token; what it raises ends the work.
    Rows that have ended leave the batch once they are a quarter of it, so that a long answer does not keep all waiting.
    """
    started = time.monotonic()
    device = model.device
    rows = (DecoderRows if model.config.is_encoder_decoder else PromptRows)(model, prompts, pad)
    choose = Chooser(how, rows.seen, seeds, model.config.get_text_config().vocab_size, device)
    alive = list(range(len(prompts)))  # the answer that each row of the batch belongs to
    answers: list[Answer | None] = [None] * len(prompts)
    written: list[list[int]] = [[] for _ in prompts]
    for count in range(1, how.max_new_tokens + 1):
        check_stop()
        tokens = choose(rows.logits(), alive)
        for answer, token in zip(alive, tokens.tolist()):
            if answers[answer] is not None:
                continue
            if token in ends:
                answers[answer] = Answer(written[answer], "stop", _ms(started), token)
                continue
            written[answer].append(token)
            if count == how.max_new_tokens:
                answers[answer] = Answer(written[answer], "length", _ms(started))
        open_rows = [row for row, answer in enumerate(alive) if answers[answer] is None]
        if not open_rows:
            break
        rows.take(tokens)
        if len(open_rows) <= 0.75 * len(alive):
            rows.keep(torch.tensor(open_rows, device=device))
            alive = [alive[row] for row in open_rows]
    return answers


class PromptRows:
    """Prompts and what a causal model writes behind them: padded on the left, with a key–value cache.

    A prompt that is there several times goes through the model once.
    seen: the tokens that count as used before anything is written (for a repetition penalty).
    """

    def __init__(self, model, prompts: Sequence[list[int]], pad: int):
        from transformers import DynamicCache

        self.model, self.seen, device = model, prompts, model.device
        # Which of the prompts without their like each row has, until they were computed.
        places = {tuple(prompt): place for place, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        self.apart = torch.tensor([places[tuple(prompt)] for prompt in prompts], device=device)
        prompts = [list(prompt) for prompt in places]
        width = max(map(len, prompts))
        self.ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
        self.mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        self.positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self.cache = DynamicCache(config=model.config)

    def logits(self) -> Tensor:
        """[rows, vocabulary] of the next token, fp32."""
        rows, width = self.ids.shape
        # Not by logits_to_keep: it hands the head a view of rows apart, for which torch copies the head once a row.
        last = torch.arange(1, rows + 1, device=self.ids.device) * width - 1
        with head_only_at(self.model, last):
            out = self.model(
                input_ids=self.ids,
                attention_mask=self.mask,
                position_ids=self.positions,
                past_key_values=self.cache,
                use_cache=True,
            )
        logits = out.logits[0].float()
        if self.apart is not None:
            if len(self.apart) > rows:
                logits = logits[self.apart]
                self.keep(self.apart)
            self.apart = None
        return logits

    def take(self, tokens: Tensor) -> None:
        """Let each row go on with its token."""
        self.ids = tokens[:, None]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        self.positions = self.positions[:, -1:] + 1

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""
        self.cache.batch_select_indices(rows)
        self.ids, self.mask, self.positions = self.ids[rows], self.mask[rows], self.positions[rows]


def _ms(started: float) -> int:
    return round(1000 * (time.monotonic() - started))


class Chooser:
    """Picks the next token of each row."""

    def __init__(self, how: Decoding, prompts: Sequence[list[int]], seeds: Sequence[int], vocabulary: int, device):
        self.how = how
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds] if how.temperature > 0 else []
        self.seen = None
        if how.repetition_penalty != 1.0:
            self.seen = torch.zeros(len(prompts), vocabulary, dtype=torch.bool, device=device)
            for row, prompt in enumerate(prompts):
                self.seen[row, prompt] = True

    def __call__(self, logits: Tensor, alive: list[int]) -> Tensor:
        """logits: [rows, vocabulary]; alive: the answer of each row. Returns [rows] tokens."""
        if self.seen is not None:
            # Keskar et al. 2019 (CTRL), section 4.1, as Hugging Face applies it: to the prompt's tokens too.
            penalty = self.how.repetition_penalty
            penalised = torch.where(logits > 0, logits / penalty, logits * penalty)
            logits = torch.where(self.seen[alive], penalised, logits)
        tokens = self._sampled(logits, alive) if self.streams else logits.argmax(-1)
        if self.seen is not None:
            self.seen[alive, tokens] = True
        return tokens

    def _sampled(self, logits: Tensor, alive: list[int]) -> Tensor:
        """By inverting the cumulative distribution over the likeliest tokens that hold top_p of the probability."""
        chances, order = torch.softmax(logits / self.how.temperature, dim=-1), None
        if self.how.top_p < 1:  # sorting takes longer than the model's own layers
            chances, order = chances.sort(dim=-1, descending=True)
            chances = chances.masked_fill(chances.cumsum(-1) - chances >= self.how.top_p, 0.0)
        total = chances.cumsum(-1)
        drawn = torch.stack([torch.rand((), generator=self.streams[answer]) for answer in alive]).to(total.device)
        place = torch.searchsorted(total, (drawn * total[:, -1])[:, None], right=True)
        # Rounding may put what was drawn behind the last token that has a chance.
        last = chances.shape[-1] - 1 - (chances > 0).flip(-1).int().argmax(-1, keepdim=True)
        place = torch.minimum(place, last)
        return (place if order is None else order.gather(-1, place))[:, 0]
