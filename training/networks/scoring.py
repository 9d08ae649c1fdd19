"""Log-probabilities of answers: the one place where rows become tensors and a model's logits become numbers.

Logits are computed only for the positions that predict an answer's token: with a vocabulary of 49,152 the head is a
fifth of the embedded model's work, and a prompt's logits serve nobody.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..data import Example, Pair
from .sources import SourceBatch, source_batch

ENTROPY_TOKENS = 256  # at once: the probabilities of more would be a large part of the memory


@dataclass(frozen=True)
class Batch:
    """Rows as tensors, padded on the right.

    ids, positions: [rows, length]. mask: [rows, length] of 0 and 1, or [rows, 1, length, length] of who sees whom, or
    None when nothing is padded. predicts: [tokens] indices into the flattened rows, of the positions that predict the
    answers' tokens. targets: [tokens] those tokens. owner: [tokens] the answer that each belongs to.
    """

    ids: Tensor
    mask: Tensor | None
    positions: Tensor
    predicts: Tensor
    targets: Tensor
    owner: Tensor
    answers: int


def example_batch(examples: Sequence[Example], pad: int, device) -> Batch | SourceBatch:
    """Examples as a batch; answer i is example i's."""
    if (start := examples[0].start) is not None:
        return source_batch([one.prompt for one in examples], [one.answer for one in examples], start, pad, device)
    length = max(example.length for example in examples)
    ids = torch.full((len(examples), length), pad)
    mask = torch.zeros(len(examples), length, dtype=torch.long)
    predicts, owner = [], []
    for row, example in enumerate(examples):
        ids[row, : example.length] = torch.tensor(example.prompt + example.answer)
        mask[row, : example.length] = 1
        # the position before a token predicts it; the first token of an empty prompt has none
        first = max(len(example.prompt), 1)
        predicts.append(torch.arange(row * length + first - 1, row * length + example.length - 1))
        owner.append(torch.full((example.length - first,), row))
    predicts = torch.cat(predicts)
    return Batch(
        ids=ids.to(device),
        mask=None if bool(mask.all()) else mask.to(device),
        positions=torch.arange(length).expand(len(examples), -1).to(device),
        predicts=predicts.to(device),
        targets=ids.flatten()[predicts + 1].to(device),
        owner=torch.cat(owner).to(device),
        answers=len(examples),
    )


# A prompt and its answers, in tokens.
Answered = tuple[list[int], list[list[int]]]


def shared_batch(rows: Sequence[Answered], pad: int, device) -> Batch:
    """Prompts, each held once, with their answers as a batch; the answers are numbered row after row."""
    return pieces_batch([[row] for row in rows], pad, device)


def pieces_batch(pieces: Sequence[Sequence[Answered]], pad: int, device) -> Batch:
    """Rows of one or several prompts, each with its answers; the answers are numbered as they stand.

    A row is a prompt and then each of its answers, then the next prompt. Positions begin anew with each prompt, and an
    answer's continue it; the mask hides other prompts, and the other answers to its own, so that an answer sees what it
    would see in a row of its own.
    """
    lengths = [sum(len(prompt) + sum(map(len, answers)) for prompt, answers in piece) for piece in pieces]
    length = max(lengths)
    ids = torch.full((len(pieces), length), pad)
    positions = torch.zeros(len(pieces), length, dtype=torch.long)
    # What is padding sees itself only: a row of the softmax without any entry would be NaN.
    sees = torch.eye(length, dtype=torch.bool).repeat(len(pieces), 1, 1)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    predicts, targets, owner = [], [], []
    for row, piece in enumerate(pieces):
        begin = 0
        for prompt, answers in piece:
            start, begin = begin, begin + len(prompt)
            told, end = begin, begin + sum(map(len, answers))  # the prompt ends at `told`
            ids[row, start:end] = torch.tensor(prompt + sum(answers, []))
            positions[row, start:told] = torch.arange(len(prompt))
            sees[row, start:end, start:end] = causal[: end - start, : end - start]
            for answer in answers:
                after = begin + len(answer)
                positions[row, begin:after] = torch.arange(len(prompt), len(prompt) + len(answer))
                sees[row, begin:after, told:begin] = False
                # the last token of the prompt predicts the first of each answer
                predicts.append(torch.tensor([row * length + told - 1]))
                predicts.append(torch.arange(row * length + begin, row * length + after - 1))
                owner.append(torch.full((len(answer),), len(targets)))
                targets.append(torch.tensor(answer))
                begin = after
    return Batch(
        ids=ids.to(device),
        mask=sees[:, None].to(device),
        positions=positions.to(device),
        predicts=torch.cat(predicts).to(device),
        targets=torch.cat(targets).to(device),
        owner=torch.cat(owner).to(device),
        answers=len(targets),
    )


def pair_batch(pairs: Sequence[Pair], pad: int, device) -> Batch | SourceBatch:
    """Pairs as a batch with the prompt held once; answers 2i and 2i + 1 are pair i's chosen and rejected."""
    if (start := pairs[0].start) is not None:
        answers = [answer for pair in pairs for answer in (pair.chosen, pair.rejected)]
        return source_batch([pair.prompt for pair in pairs for _ in range(2)], answers, start, pad, device)
    return shared_batch([(pair.prompt, [pair.chosen, pair.rejected]) for pair in pairs], pad, device)


def answers_batch(pairs: Sequence[Pair], pad: int, model) -> Batch | SourceBatch:
    """Pairs as a batch, in whichever form is less work; answers 2i and 2i + 1 are pair i's chosen and rejected."""
    if pairs[0].start is not None:
        return pair_batch(pairs, pad, model.device)
    return answered_batch([(pair.prompt, [pair.chosen, pair.rejected]) for pair in pairs], pad, model)


def answered_batch(rows: Sequence[Answered], pad: int, model) -> Batch:
    """Prompts with answers as a batch, in whichever form is less work: with the prompts held once, or each answer in a
    row of its own.

    The answers are numbered row after row. With a short prompt and long answers a shared row loses by its attention,
    which is quadratic, what it saves on the prompt.
    """
    width = getattr(model, "policy", model).config.hidden_size
    shared = max(len(prompt) + sum(map(len, answers)) for prompt, answers in rows)
    alone = max(len(prompt) + max(map(len, answers)) for prompt, answers in rows)
    many = sum(len(answers) for _, answers in rows) / len(rows)
    if not pairs_apart(shared, alone, width, many):
        return shared_batch(rows, pad, model.device)
    examples = [Example(prompt, answer, None) for prompt, answers in rows for answer in answers]
    return example_batch(examples, pad, model.device)


def examples_batch(examples: Sequence[Example], pad: int, model) -> Batch | SourceBatch:
    """Examples as a batch; answer i is example i's.

    Those that follow one another and have one prompt are one row, where that is less work.
    """
    rows = [(prompt, [one.answer for one in of]) for prompt, of in groupby(examples, key=lambda one: one.prompt)]
    if examples[0].start is not None or len(rows) == len(examples) or not all(prompt for prompt, _ in rows):
        return example_batch(examples, pad, model.device)
    return answered_batch(rows, pad, model)


def pairs_apart(shared: int, alone: int, width: int, many: float = 2) -> bool:
    """Whether `many` rows of `alone` tokens are less work than one of `shared`, in a model of this width.

    A token costs a layer some 12 width² products in its matrices, and 2 width for each token that it may attend to.
    """
    return many * alone * (6 * width + alone) < shared * (6 * width + shared)


@contextmanager
def head_only_at(model, positions: Tensor) -> Iterator[None]:
    """Within it, the head sees only these positions of the flattened rows; logits are [1, positions, vocabulary]."""
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, given: (given[0].flatten(0, 1)[positions][None],))
    try:
        yield
    finally:
        handle.remove()


def answer_logits(model, batch: Batch | SourceBatch) -> Tensor:
    """Logits that predict the answers' tokens; [tokens, vocabulary], in the model's number format."""
    if isinstance(batch, SourceBatch):
        given = batch.inputs(model)
    else:
        given = {"input_ids": batch.ids, "attention_mask": batch.mask, "position_ids": batch.positions}
    with head_only_at(model, batch.predicts):
        return model(**given, use_cache=False).logits[0]


class _Chosen(torch.autograd.Function):
    """log softmax(logits / temperature) at the targets, some tokens at a time: never all of them in fp32."""

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
        norms, found = [], []
        size = _tokens_at_once(logits)
        for part, chosen in zip(logits.split(size), targets.split(size)):
            part = part.float() / temperature
            norms.append(part.logsumexp(-1))
            found.append(part.gather(1, chosen[:, None])[:, 0])
        norm = torch.cat(norms)
        ctx.save_for_backward(logits, targets, norm)
        ctx.temperature = temperature
        return torch.cat(found) - norm

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, targets, norm = ctx.saved_tensors
        found, gradient = torch.empty_like(logits), gradient[:, None] / ctx.temperature
        size = _tokens_at_once(logits)
        given = (one.split(size) for one in (logits, targets[:, None], norm[:, None], gradient, found))
        for part, chosen, among, wanted, into in zip(*given):
            part = (part.float() / ctx.temperature).sub_(among).exp_().mul_(-wanted)
            into.copy_(part.scatter_add_(1, chosen, wanted))
        return found, None, None


def _tokens_at_once(logits: Tensor) -> int:
    """As many as a processor's cache holds in fp32; a GPU takes more."""
    return 16 if logits.device.type == "cpu" else ENTROPY_TOKENS


def chosen_logprobs(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability of each target when drawn at this temperature. logits: [tokens, vocabulary]; [tokens], fp32."""
    return _Chosen.apply(logits, targets, temperature)


def answer_sums(values: Tensor, batch: Batch) -> Tensor:
    """Sums of per-token values over each answer; [answers]."""
    return torch.zeros(batch.answers, device=values.device).index_add(0, batch.owner, values)


@torch.no_grad()
def token_entropies(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Entropy in nats of the distribution that each of the answers' tokens is drawn from; [tokens], fp32."""
    found = []
    for part in logits.split(ENTROPY_TOKENS):
        chances = torch.log_softmax(part.float() / temperature, dim=-1)
        found.append(-(chances.exp() * chances).sum(-1))
    return torch.cat(found)


def answer_logprobs_shown(model, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """(log-probability, number of tokens) of each answer, and {name: [answers]} of what is to be shown besides: the
    entropy in nats a token, where gradients are off and it delays no training."""
    logits = answer_logits(model, batch)
    logprobs = chosen_logprobs(logits, batch.targets)
    lengths = answer_sums(torch.ones_like(logprobs), batch)
    shown = {} if torch.is_grad_enabled() else {"entropy": answer_sums(token_entropies(logits), batch) / lengths}
    return answer_sums(logprobs, batch), lengths, shown


def answer_logprobs(model, batch: Batch) -> tuple[Tensor, Tensor]:
    """(log-probability, number of tokens) of each answer; both [answers]."""
    logprobs = chosen_logprobs(answer_logits(model, batch), batch.targets)
    return answer_sums(logprobs, batch), answer_sums(torch.ones_like(logprobs), batch)
