"""Checked lines into rows: a batch at a time, inside the transaction of whoever calls."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from feedbackhub.catalog.content import said
from feedbackhub.catalog.models import ModelVersion, Prompt
from feedbackhub.catalog.prompts import PromptRow
from feedbackhub.catalog.services import (
    ImportedOutput,
    models_get_or_create_imported,
    ordinals,
    outputs_bulk_create,
    prompts_bulk_get_or_create,
)
from feedbackhub.projects.models import Project
from feedbackhub.rating.importing import ImportedItem, ImportedJudgment, judgments_import
from feedbackhub.rating.models import Judgment

from .fields import LineError
from .lines import (
    Line,
    OutputsLine,
    PreferenceLine,
    PromptLine,
    VoteLine,
    outputs_line,
    preference_line,
    prompt_line,
    vote_line,
)

CHUNK = 500


@dataclass
class Batch:
    """What one batch of checked lines belongs to, and what came of it."""

    project: Project
    content_digest: str
    received_at: datetime
    created: Counter = field(default_factory=Counter)
    rejected: dict[int, str] = field(default_factory=dict)

    def prompts(self, lines: Sequence[PromptLine]) -> list[Prompt]:
        rows = [
            PromptRow(
                line.messages, line.references, line.category, line.split, external_id=line.id, language=line.language
            )
            for line in lines
        ]
        found = prompts_bulk_get_or_create(project=self.project, rows=rows)
        self.created["prompts"] += sum(created for _, created in found)
        return [prompt for prompt, _ in found]

    def models(self, names: Sequence[str]) -> dict[str, ModelVersion]:
        found, made = models_get_or_create_imported(project=self.project, names=names)
        self.created["models"] += made
        return found

    def outputs(self, rows: list[ImportedOutput]) -> list:
        found, made = outputs_bulk_create(rows=rows)
        self.created["outputs"] += made
        return found

    def new_judgments(self, keyed: list[tuple[int, str, str]]) -> set[int]:
        """Of (line, import key, outcome), the lines whose judgment is not there yet.

        One that is there with the same outcome is passed over; with another, the line is rejected.
        """
        known = self._known({key for _, key, _ in keyed})
        new = set()
        for line, key, outcome in keyed:
            if key not in known:
                known[key] = outcome
                new.add(line)
            elif known[key] != outcome:
                self.rejected[line] = "the same judgment was imported before with another winner"
        return new

    def _known(self, keys: set[str]) -> dict[str, str]:
        known, wanted = {}, sorted(keys)
        for start in range(0, len(wanted), CHUNK):
            judgments = Judgment.objects.filter(project=self.project, import_key__in=wanted[start : start + CHUNK])
            known.update(judgments.values_list("import_key", "payload_digest"))
        return known


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


# --- Prompts, outputs ------------------------------------------------------------------------------------------------


def prompts_store(batch: Batch, lines: list[tuple[int, PromptLine]]) -> None:
    batch.created.update(prompts=0)
    batch.prompts([line for _, line in lines])


def outputs_store(batch: Batch, lines: list[tuple[int, OutputsLine]]) -> None:
    batch.created.update(prompts=0, models=0, outputs=0)
    prompts = batch.prompts([line.prompt for _, line in lines])
    models = batch.models([output.model for _, line in lines for output in line.outputs])
    rows = []
    for prompt, (_, line) in zip(prompts, lines):
        found = [ImportedOutput(prompt, models[one.model], one.text, media=one.media) for one in line.outputs]
        for row, row.ordinal in zip(found, ordinals([(row.model, said(row.parts)) for row in found])):
            rows.append(row)
    batch.outputs(rows)


# --- Votes -----------------------------------------------------------------------------------------------------------


def vote_key(batch: Batch, number: int, vote: VoteLine) -> str:
    """The vote's identity: id, judge, question or prompt and both models; without an id, the file and the line."""
    if vote.id is None:
        return digest("vote of a file", batch.content_digest, number)
    about = None
    if vote.question_id is not None:
        about = ["question", vote.question_id]
    elif vote.prompt is not None:
        about = ["prompt", PromptRow(vote.prompt.messages).digest]
    return digest("vote", vote.id, vote.judge, about, sorted([vote.model_a, vote.model_b]))


def vote_outcome(vote: VoteLine) -> str:
    """Digest of who won, whatever side the winner stands on."""
    return digest({"model_a": vote.model_a, "model_b": vote.model_b}.get(vote.winner, f"({vote.winner})"))


def votes_store(batch: Batch, lines: list[tuple[int, VoteLine]]) -> None:
    batch.created.update(prompts=0, models=0, outputs=0, votes=0)
    keyed = [(number, vote_key(batch, number, vote), vote_outcome(vote)) for number, vote in lines]
    new = batch.new_judgments(keyed)
    lines = [(number, vote) for number, vote in lines if number in new]
    keyed = [entry for entry in keyed if entry[0] in new]
    models = batch.models([name for _, vote in lines for name in (vote.model_a, vote.model_b)])
    prompts = _vote_prompts(batch, lines)
    outputs = _vote_outputs(batch, lines, models, prompts)
    rows = []
    for (number, vote), (_, key, outcome) in zip(lines, keyed):
        prompt = prompts.get(number)
        tiers = {"model_a": (0, 1), "model_b": (1, 0)}.get(vote.winner, (0, 0))
        items = [
            ImportedItem(models[name], outputs.get((number, side)), tier, vote.chars[side])
            for side, (name, tier) in enumerate(zip((vote.model_a, vote.model_b), tiers))
        ]
        rows.append(
            ImportedJudgment(
                import_key=key,
                payload_digest=outcome,
                items=items,
                prompt=prompt,
                question=vote.question_id or "",
                judge=vote.judge,
                category=vote.category or (prompt.category if prompt else ""),
                occurred_at=vote.occurred_at or batch.received_at,
                none_acceptable=vote.winner == "both_bad",
            )
        )
    batch.created["votes"] += _judgments_store(batch, rows, Judgment.Source.VOTES)


def _judgments_store(batch: Batch, rows: list[ImportedJudgment], source: str) -> int:
    answers = judgments_import(project=batch.project, rows=rows, source=source)
    return sum(answer == "created" for answer in answers)


def _vote_prompts(batch: Batch, lines: list[tuple[int, VoteLine]]) -> dict[int, Prompt]:
    """Line number → prompt, of the votes that tell the prompt, or name the id of one that the project has."""
    telling = [(number, vote.prompt) for number, vote in lines if vote.prompt is not None]
    found = dict(zip((number for number, _ in telling), batch.prompts([prompt for _, prompt in telling])))
    asked = sorted({vote.question_id for _, vote in lines if vote.prompt is None and vote.question_id is not None})
    by_id: dict[str, list[Prompt]] = {}
    for start in range(0, len(asked), CHUNK):
        prompts = Prompt.objects.filter(project=batch.project, external_id__in=asked[start : start + CHUNK])
        for prompt in prompts:
            by_id.setdefault(prompt.external_id, []).append(prompt)
    for number, vote in lines:
        if vote.prompt is None and len(by_id.get(vote.question_id, ())) == 1:
            found[number] = by_id[vote.question_id][0]
    return found


def _vote_outputs(batch: Batch, lines: list, models: dict, prompts: dict) -> dict[tuple[int, int], object]:
    """(line number, side) → output, of the votes that tell the answers to a known prompt."""
    places, rows = [], []
    for number, vote in lines:
        for side, (name, text) in enumerate(zip((vote.model_a, vote.model_b), vote.outputs)):
            if text is not None and number in prompts:
                places.append((number, side))
                rows.append(ImportedOutput(prompts[number], models[name], text))
    return dict(zip(places, batch.outputs(rows)))


# --- Preferences ---------------------------------------------------------------------------------------------------


def preference_key(batch: Batch, number: int, line: PreferenceLine) -> str:
    """Its identity: id, source, prompt and both texts; without an id, the file and the line."""
    if line.id is None:
        return digest("preference of a file", batch.content_digest, number)
    texts = sorted([digest(line.chosen), digest(line.rejected)])
    return digest("preference", line.id, line.source, PromptRow(line.prompt.messages).digest, texts)


def preferences_store(batch: Batch, lines: list[tuple[int, PreferenceLine]]) -> None:
    batch.created.update(prompts=0, models=0, outputs=0, preferences=0)
    keyed = [(number, preference_key(batch, number, line), digest(line.chosen)) for number, line in lines]
    new = batch.new_judgments(keyed)
    lines = [(number, line) for number, line in lines if number in new]
    keyed = [entry for entry in keyed if entry[0] in new]
    prompts = batch.prompts([line.prompt for _, line in lines])
    names = [name for _, line in lines for name in (line.chosen_model, line.rejected_model) if name is not None]
    models = batch.models(names)
    outputs = iter(
        batch.outputs(
            [
                ImportedOutput(prompt, models.get(name), text)
                for prompt, (_, line) in zip(prompts, lines)
                for name, text in ((line.chosen_model, line.chosen), (line.rejected_model, line.rejected))
            ]
        )
    )
    rows = []
    for prompt, (_, line), (_, key, outcome) in zip(prompts, lines, keyed):
        items = [
            ImportedItem(models.get(name), next(outputs), tier, len(text))
            for tier, (name, text) in enumerate(
                ((line.chosen_model, line.chosen), (line.rejected_model, line.rejected))
            )
        ]
        rows.append(
            ImportedJudgment(
                import_key=key,
                payload_digest=outcome,
                items=items,
                prompt=prompt,
                judge=line.source,
                category=line.prompt.category or prompt.category,
                occurred_at=batch.received_at,
                none_acceptable=False,
            )
        )
    batch.created["preferences"] += _judgments_store(batch, rows, Judgment.Source.PREFERENCES)


READ: dict[str, Callable] = {
    "prompts": prompt_line,
    "outputs": outputs_line,
    "votes": vote_line,
    "preferences": preference_line,
}
STORE: dict[str, Callable] = {
    "prompts": prompts_store,
    "outputs": outputs_store,
    "votes": votes_store,
    "preferences": preferences_store,
}


def line_read(kind: str, row: dict, field_map: dict, template: str) -> object:
    """The checked line. Raises LineError."""
    try:
        return READ[kind](Line(row, field_map, template))
    except RecursionError as error:
        raise LineError("nested too deeply") from error
