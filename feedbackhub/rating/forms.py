"""What the rating pages send, as services want it."""

import time
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.forms import ModelsField
from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.catalog.selectors import models_with_outputs
from feedbackhub.core.errors import DomainError
from feedbackhub.core.json_reading import json_read
from feedbackhub.projects.models import Project, TaskKind

from .models import Task
from .shown import text_shown
from .tasks import AT_ONCE, RANKED, WANTED_AT_MOST

TIE, NONE = "tie", "none"


def payload_of(data: QueryDict, task: Task) -> dict[str, Any]:
    """The judgment (CONTRACT's shape) that the page's form holds. Raises DomainError when nothing was chosen."""
    shown = [_number(one, "shown") for one in data.get("shown", "").split(",")]
    payload: dict[str, Any] = {
        "key": data.get("key", ""),
        "shown": shown,
        "duration_ms": _duration(data),
        **_SAID[task.kind](data, shown, task),
    }
    if comment := data.get("comment", "").strip():
        payload["comment"] = comment
    if data.get("supersedes"):
        payload["supersedes"] = _number(data["supersedes"], "supersedes")
    if flags := data.getlist("flags"):
        payload["flags"] = flags
    if spans := _spans(data):
        payload["spans"] = spans
    if correction := _corrected(data, shown, task.project):
        payload["correction"] = correction
    return payload


def _spans(data: QueryDict) -> Any:
    """What the page's script wrote into its field, as JSON; whether they are spans, the service says."""
    try:
        return json_read(data.get("spans") or "[]")
    except ValueError as error:
        message = "spans must be a list of spans, as JSON."
        raise DomainError(message, fields={"spans": message}) from error


def _corrected(data: QueryDict, shown: list[int], project: Project) -> dict[str, str]:
    """The answers that were edited; a form sends all of them, and with line ends of its own."""
    sent = {output: data[f"correction_{output}"] for output in shown if f"correction_{output}" in data}
    found = Output.objects.select_related("model").in_bulk(sent)
    texts = {pk: _lines(text_shown(output, project)) for pk, output in found.items()}
    edited = {pk: _lines(text) for pk, text in sent.items()}
    return {str(pk): text for pk, text in edited.items() if text and text != texts.get(pk)}


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _duration(data: QueryDict) -> int:
    """The page's own count of the time it was looked at; without a script, the time since it was made."""
    if data.get("duration_ms"):
        return _number(data["duration_ms"], "duration_ms")
    return max(0, round(time.time() * 1000) - _number(data.get("rendered_at", "0"), "rendered_at"))


def _comparison(data: QueryDict, shown: list[int], task: Task) -> dict[str, Any]:
    verdict = data.get("verdict", "")
    if verdict in (TIE, NONE):
        return {"ranking": [shown], "none_acceptable": verdict == NONE}
    winner = _number(verdict, "verdict", _("Choose an answer, a tie, or both bad."))
    said: dict[str, Any] = {"ranking": [[winner], [one for one in shown if one != winner]]}
    if strength := data.get("strength"):
        said["strength"] = strength
    return said


def _order(data: QueryDict, shown: list[int], task: Task) -> dict[str, Any]:
    """Each output has a place; those of one place tie."""
    if data.get("verdict") == NONE:
        return {"ranking": [shown], "none_acceptable": True}
    places: dict[int, list[int]] = {}
    for output in shown:
        place = _number(data.get(f"place_{output}", ""), "ranking", _("Give every answer a place."))
        places.setdefault(place, []).append(output)
    return {"ranking": [places[place] for place in sorted(places)]}


def _thumb(data: QueryDict, shown: list[int], task: Task) -> dict[str, Any]:
    if data.get("verdict") not in ("1", "-1"):
        raise DomainError(_("Choose thumbs up or thumbs down."), fields={"verdict": "choose up or down"})
    return {"thumbs": {str(shown[0]): int(data["verdict"])}}


def _marks(data: QueryDict, shown: list[int], task: Task) -> dict[str, Any]:
    scores: dict[str, dict[str, float]] = {}
    for output in shown:
        for criterion in task.project.criteria:
            given = data.get(f"score_{output}_{criterion['key']}", "")
            try:
                scores.setdefault(str(output), {})[criterion["key"]] = float(given)
            except ValueError as error:
                message = _("Give %(label)s a number from %(min)s to %(max)s.") % criterion
                raise DomainError(message, fields={"scores": message}) from error
    return {"scores": scores}


def known_answer_of(data: QueryDict, task: Task) -> dict[str, Any]:
    """What a gold item expects, from a form with the fields of a judgment."""
    shown = list(task.task_outputs.order_by("output_id").values_list("output_id", flat=True))
    said = _SAID[task.kind](data, shown, task)
    return {name: value for name, value in said.items() if name != "strength" and value is not False}


_SAID = {
    TaskKind.PAIRWISE: _comparison,
    TaskKind.RANKING: _order,
    TaskKind.THUMBS: _thumb,
    TaskKind.SCORES: _marks,
}


def _number(text: str, name: str, otherwise: str = "") -> int:
    try:
        return int(text)
    except ValueError as error:
        message = otherwise or f'{name} "{text}" must be a whole number.'
        raise DomainError(message, fields={name: message}) from error


def _contender_label(model: ModelVersion) -> str:
    return _("%(name)s (%(count)s answers)") % {"name": model.name, "count": model.output_count}


class TasksForm(forms.Form):
    """Tasks to be made of answers that are there."""

    models = ModelsField(
        label=_("Answers of these models"),
        error_messages={"required": _("Choose the models whose answers are to be judged.")},
    )
    kind = forms.ChoiceField(choices=TaskKind.choices, label=_("Kind"))
    outputs_per_task = forms.IntegerField(
        required=False,
        min_value=RANKED[0],
        max_value=RANKED[1],
        label=_("Answers a ranking"),
        help_text=_("Rankings only."),
    )
    limit = forms.IntegerField(min_value=1, max_value=AT_ONCE, initial=1000, label=_("Tasks at most"))
    judgments_wanted = forms.IntegerField(
        min_value=1, max_value=WANTED_AT_MOST, label=_("Judgments a task"), help_text=_("Each by another rater.")
    )
    priority = forms.IntegerField(
        initial=0,
        min_value=-1_000_000,
        max_value=1_000_000,
        label=_("Priority"),
        help_text=_("Higher is served first."),
    )

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        self.project = project
        contenders = models_with_outputs(project).filter(output_count__gt=0)
        self.fields["models"].queryset = contenders
        self.fields["models"].label_from_instance = _contender_label
        self.fields["kind"].initial = project.task_kind
        self.fields["judgments_wanted"].initial = project.judgments_per_task

    def wish(self) -> dict[str, Any]:
        """Arguments of tasks_create and tasks_preview."""
        given = dict(self.cleaned_data)
        if given["kind"] != TaskKind.RANKING:
            given["outputs_per_task"] = None
        return {**given, "project": self.project, "models": list(given["models"])}
