"""Imported outputs: known by prompt, model and text, so that importing a file again makes nothing new."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from django.db import transaction

from .content import said, text_parts
from .identity import reveals_identity
from .models import ModelVersion, Output, Prompt

CHUNK = 500


@dataclass
class ImportedOutput:
    """An answer to be stored. `ordinal` counts identical answers of one model within one line of a file, from 0."""

    prompt: Prompt
    model: ModelVersion | None
    text: str
    ordinal: int = 0
    media: Sequence[dict] = ()

    @cached_property
    def parts(self) -> list[dict]:
        return [*(text_parts(self.text) if self.text or not self.media else ()), *self.media]

    @cached_property
    def key(self) -> tuple[int, int | None, str]:
        """(prompt id, model id, content key): the same key is the same output."""
        digest = hashlib.sha256(said(self.parts).encode()).hexdigest()
        return self.prompt.pk, self.model.pk if self.model else None, f"{digest}:{self.ordinal}"


def ordinals(answers: Sequence[tuple[object, str]]) -> list[int]:
    """For each (model, what it says) of one line, how many equal ones came before it."""
    seen: Counter = Counter()
    numbers = []
    for answer in answers:
        numbers.append(seen[answer])
        seen[answer] += 1
    return numbers


@transaction.atomic
def outputs_bulk_create(*, rows: list[ImportedOutput]) -> tuple[list[Output], int]:
    """The output of every row in turn, and how many of them this call made. The same content again makes nothing."""
    found = _outputs_found(rows)
    missing = {row.key: row for row in rows if row.key not in found}
    made = Output.objects.bulk_create(
        (
            Output(
                prompt=row.prompt,
                model=row.model,
                parts=row.parts,
                content_key=key[2],
                reveals_identity=reveals_identity(row.parts, row.model.name if row.model else ""),
            )
            for key, row in missing.items()
        ),
        batch_size=CHUNK,
    )
    found.update(zip(missing, made))
    return [found[row.key] for row in rows], len(made)


def _outputs_found(rows: list[ImportedOutput]) -> dict[tuple, Output]:
    found = {}
    keys = sorted({row.key[2] for row in rows})
    prompts = {row.prompt.pk for row in rows}
    for start in range(0, len(keys), CHUNK):
        # Narrowed by prompt in Python: one query a chunk whatever the mixture of prompts.
        outputs = Output.objects.filter(prompt__in=prompts, content_key__in=keys[start : start + CHUNK])
        for output in outputs:
            found[output.prompt_id, output.model_id, output.content_key] = output
    return found
