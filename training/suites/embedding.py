"""Texts as vectors by a local model, and how like two of them are."""

from dataclasses import replace
from pathlib import Path

from ..config import EvaluateSettings
from ..directory import RunDirectory
from .measuring import Asked, each_batch

GENERAL_TEXT = Path(__file__).parent / "general_text.txt"


class Embedder:
    """run.json's `embedder`, {path, adapter?}: the mean of a text's last hidden states, less the general text's mean.

    Of an encoder–decoder they are the encoder's (Ni et al. 2022, Sentence-T5, arXiv 2108.08877).

    The states of a language model all point much the same way; without what they share cosines would all be near 1 (Mu
    & Viswanath 2018, "All-but-the-top"). The general text is a fixed one of ours, so a likeness depends on the model
    and the two texts alone.
    """

    def __init__(self, run: RunDirectory, spec: dict, settings: EvaluateSettings):
        self.asked = Asked(run, {**spec, "base": spec["embedder"]}, settings)
        self.settings = settings

    def likeness(self, rows: list[tuple[str, list[str]]]) -> list[float | None]:
        """The cosine, −1…1, of each text with its likest reference; None without one, or for an empty text."""
        import torch

        general = [text.strip() for text in GENERAL_TEXT.read_text(encoding="utf-8").split("\n\n") if text.strip()]
        texts = list(dict.fromkeys(text.strip() for row in rows for text in (row[0], *row[1])))
        vectors = torch.tensor(self._vectors([*general, *(text or "." for text in texts)]), dtype=torch.float64)
        vectors = vectors - vectors[: len(general)].mean(0)
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
        place = {text: len(general) + number for number, text in enumerate(texts)}
        return [
            max((float(vectors[place[text.strip()]] @ vectors[place[one.strip()]]) for one in references), default=None)
            if text.strip()
            else None
            for text, references in rows
        ]

    def _vectors(self, texts: list[str]) -> list[list[float]]:
        import torch

        from ..data import Example
        from ..networks.scoring import example_batch

        asked, most = self.asked, self.settings.max_length
        rows = [
            Example(asked.tokenizer(text)["input_ids"][:most] or [0], [], number) for number, text in enumerate(texts)
        ]
        keys = asked.reuse.keys(asked.base, "embedding", asked.about, (row.prompt for row in rows))
        found = asked.reuse.known(keys, len(rows))
        todo = [number for number in range(len(rows)) if number not in found]
        if todo:
            reader = asked.merged.get_decoder() if asked.start is None else asked.merged.get_encoder()
            # a batch wants an answer of one token at least; it is part of the text here
            rows = [replace(row, prompt=row.prompt[:-1], answer=row.prompt[-1:]) for row in rows]
            for numbers, batch in each_batch(asked.run, self.settings, reader.device, rows, example_batch, todo):
                with torch.inference_mode():
                    given = {"input_ids": batch.ids, "attention_mask": batch.mask}
                    if asked.start is None:
                        given |= {"position_ids": batch.positions, "use_cache": False}
                    hidden = reader(**given).last_hidden_state.float()
                lengths = torch.tensor([rows[number].length for number in numbers], device=hidden.device)
                inside = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
                means = (hidden * inside[..., None]).sum(1) / lengths[:, None]
                new = {number: [round(value, 6) for value in mean] for number, mean in zip(numbers, means.tolist())}
                asked.reuse.keep(keys, new)
                found |= new
        return [found[number] for number in range(len(rows))]
