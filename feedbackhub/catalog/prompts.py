"""Prompts: known by their conversation's digest, made once, their split fixed by the first to name them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from django.db import IntegrityError, transaction

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project

from .content import SPLITS, messages_of, messages_read, prompt_digest, split_of
from .models import Prompt

CHUNK = 500
TRIES = 5
FILLED = ("references", "category", "external_id", "language")  # what an existing prompt takes where it has none


@dataclass
class PromptRow:
    """A prompt to be. `messages` as stored (content.messages_read); `split` None lets the digest decide."""

    messages: list[dict]
    references: Sequence[str] = ()
    category: str = ""
    split: str | None = None
    external_id: str = ""
    tags: Sequence[str] = ()
    language: str = ""

    @cached_property
    def digest(self) -> str:
        return prompt_digest(self.messages)


@transaction.atomic
def prompt_get_or_create(
    *,
    project: Project,
    messages: list[dict] | None = None,
    prompt: str | None = None,
    references: Sequence[str] = (),
    category: str = "",
    split: str | None = None,
    external_id: str = "",
    tags: Sequence[str] = (),
) -> tuple[Prompt, bool]:
    """The project's prompt with this conversation (`messages` wins over `prompt`), made if there is none.

    Raises DomainError: no text, an unknown role or split.
    """
    try:
        read = messages_read(messages if messages is not None else messages_of(prompt or ""))
    except ValueError as error:
        raise DomainError(str(error), fields={"messages" if messages is not None else "prompt": str(error)}) from error
    if split is not None and split not in SPLITS:
        message = f'split "{split}" is none of {", ".join(SPLITS)}.'
        raise DomainError(message, fields={"split": message})
    row = PromptRow(read, references, category, split, external_id, tags)
    return prompts_bulk_get_or_create(project=project, rows=[row])[0]


@transaction.atomic
def prompts_bulk_get_or_create(*, project: Project, rows: list[PromptRow]) -> list[tuple[Prompt, bool]]:
    """The prompt of every row in turn, and whether this call made it (for the first of several equal rows).

    An existing prompt keeps its split and whatever it has; references, category, external id and language that
    it lacks are filled in.
    """
    found = _prompts_found(project, {row.digest for row in rows})
    created: set[str] = set()
    for _ in range(TRIES):
        missing = {row.digest: row for row in reversed(rows) if row.digest not in found}
        if not missing:
            break
        try:
            # The first row of a digest makes the prompt, in the order of the rows.
            wanted = [row for row in rows if missing.get(row.digest) is row]
            with transaction.atomic():
                made = Prompt.objects.bulk_create([_prompt_new(project, row) for row in wanted], batch_size=CHUNK)
            created.update(prompt.digest for prompt in made)
            found.update((prompt.digest, prompt) for prompt in made)
        except IntegrityError:  # somebody else has just made one of them
            found.update(_prompts_found(project, set(missing)))
    _prompts_fill(found, rows)
    answer = []
    for row in rows:
        answer.append((found[row.digest], row.digest in created))
        created.discard(row.digest)
    return answer


def _prompts_found(project: Project, digests: set[str]) -> dict[str, Prompt]:
    found = {}
    wanted = sorted(digests)
    for start in range(0, len(wanted), CHUNK):
        for prompt in Prompt.objects.filter(project=project, digest__in=wanted[start : start + CHUNK]):
            found[prompt.digest] = prompt
    return found


def _prompt_new(project: Project, row: PromptRow) -> Prompt:
    return Prompt(
        project=project,
        messages=row.messages,
        digest=row.digest,
        references=list(row.references),
        category=row.category,
        tags=list(row.tags),
        split=row.split or split_of(row.digest),
        external_id=row.external_id,
        language=row.language,
    )


def _prompts_fill(found: dict[str, Prompt], rows: list[PromptRow]) -> None:
    filled = {}
    for row in rows:
        prompt = found[row.digest]
        for field in FILLED:
            value = getattr(row, field)
            if value and not getattr(prompt, field):
                setattr(prompt, field, list(value) if field == "references" else value)
                filled[prompt.pk] = prompt
    if filled:
        Prompt.objects.bulk_update(filled.values(), FILLED, batch_size=CHUNK)
