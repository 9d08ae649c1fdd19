"""Prompts for an encoder and answers for a decoder, as tensors: in training, in scoring, in writing.

A prompt that several answers of a batch share goes through the encoder once, and each answer through the decoder: what
prefix sharing is to a causal model comes by nature here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .encoder_decoder import start_in

# --- Batches ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceBatch:
    """Answers and what they answer as tensors, padded on the right.

    sources, source_mask: [prompts, length], each distinct prompt once. source: [answers] which of them an answer
    belongs to. ids: [answers, length] what the decoder is given: its start, then the answer's tokens but the last.
    predicts, targets, owner: [tokens], and answers, as in scoring.Batch.
    """

    sources: Tensor
    source_mask: Tensor
    source: Tensor
    ids: Tensor
    predicts: Tensor
    targets: Tensor
    owner: Tensor
    answers: int

    def inputs(self, model) -> dict:
        """What the model is to be called with; the encoder has read the prompts by then."""
        given = Sources(model, self.sources, self.source_mask, self.source).inputs()
        return {**given, "decoder_input_ids": self.ids}


def source_batch(prompts: Sequence[list[int]], answers: Sequence[list[int]], start: int, pad: int, device):
    """Prompts and their answers as a SourceBatch; a prompt that occurs again is held once."""
    sources, source_mask, source = padded_once(prompts, pad)
    length = max(map(len, answers))
    ids = torch.full((len(answers), length), pad)
    for row, answer in enumerate(answers):
        ids[row, : len(answer)] = torch.tensor([start, *answer[:-1]])
    lengths = torch.tensor([len(answer) for answer in answers])
    places = torch.arange(length).expand(len(answers), -1) < lengths[:, None]
    return SourceBatch(
        sources=sources.to(device),
        source_mask=source_mask.to(device),
        source=source.to(device),
        ids=ids.to(device),
        predicts=places.flatten().nonzero()[:, 0].to(device),
        targets=torch.tensor([token for answer in answers for token in answer]).to(device),
        owner=torch.arange(len(answers)).repeat_interleave(lengths).to(device),
        answers=len(answers),
    )


def padded_once(prompts: Sequence[list[int]], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """(ids, mask) of the distinct prompts, both [distinct, length], and which of them each prompt is, [prompts]."""
    distinct = {tuple(prompt): None for prompt in prompts}
    number = {prompt: place for place, prompt in enumerate(distinct)}
    length = max(map(len, distinct))
    ids = torch.tensor([[*prompt, *[pad] * (length - len(prompt))] for prompt in distinct])
    mask = torch.tensor([[1] * len(prompt) + [0] * (length - len(prompt)) for prompt in distinct])
    return ids, mask, torch.tensor([number[tuple(prompt)] for prompt in prompts])


class Sources:
    """What the encoder made of prompts, a row for each answer."""

    def __init__(self, model, ids: Tensor, mask: Tensor, source: Tensor):
        hidden = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        self.hidden, self.mask = hidden[source], mask[source]

    def keep(self, rows: Tensor) -> None:
        self.hidden, self.mask = self.hidden[rows], self.mask[rows]

    def inputs(self) -> dict:
        from transformers.modeling_outputs import BaseModelOutput

        return {"encoder_outputs": BaseModelOutput(last_hidden_state=self.hidden), "attention_mask": self.mask}


# --- Writing ---------------------------------------------------------------------------------------------------------


class DecoderRows:
    """Answers as an encoder–decoder writes them: the prompts are read once, the decoder has a key–value cache.

    seen: the tokens that count as used before anything is written (for a repetition penalty).
    """

    def __init__(self, model, prompts: Sequence[list[int]], pad: int):
        from transformers import DynamicCache, EncoderDecoderCache

        self.model, device = model, model.device
        self.sources = Sources(model, *(part.to(device) for part in padded_once(prompts, pad)))
        self.cache = EncoderDecoderCache(DynamicCache(config=model.config), DynamicCache(config=model.config))
        start = start_in(model.config)
        self.seen = [[start]] * len(prompts)
        self.ids = torch.full((len(prompts), 1), start, device=device)
        # BART's generation begins with <s>, as its training texts do.
        self.first = getattr(model.generation_config, "forced_bos_token_id", None)

    def logits(self) -> Tensor:
        """[rows, vocabulary] of the next token, fp32."""
        given = {**self.sources.inputs(), "decoder_input_ids": self.ids, "past_key_values": self.cache}
        logits = self.model(**given, use_cache=True).logits[:, -1].float()
        if self.first is not None:
            only = torch.full_like(logits, -torch.inf)
            only[:, self.first], self.first = 0.0, None
            return only
        return logits

    def take(self, tokens: Tensor) -> None:
        self.ids = tokens[:, None]

    def keep(self, rows: Tensor) -> None:
        self.sources.keep(rows)
        self.ids = self.ids[rows]
        self.cache.self_attention_cache.batch_select_indices(rows)
        self.cache.cross_attention_cache.batch_select_indices(rows)
