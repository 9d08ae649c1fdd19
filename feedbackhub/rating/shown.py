"""What raters see of an output: its text, with names hidden where the project wants that, its pictures and videos."""

from collections.abc import Callable

from feedbackhub.catalog.identity import masked, masked_as, shown_span, stored_span, unmasked
from feedbackhub.catalog.media import media_shown
from feedbackhub.catalog.models import Output
from feedbackhub.projects.models import IdentityLeaks, Project


def text_shown(output: Output, project: Project) -> str:
    return masked(output.text, _author(output)) if _is_masked(output, project) else output.text


def output_media_shown(output: Output, project: Project) -> list[dict]:
    """[{type, url, alt, width?, height?}]"""
    found = media_shown(output.parts, project)
    if project.identity_leaks == IdentityLeaks.MASK:
        found = [{**one, "alt": masked(one["alt"], _author(output))} for one in found]
    return found


def correction_shown(correction: str, output: Output, project: Project) -> str:
    """A correction that was stored, to the rater who made it."""
    return masked_as(correction, output.text, _author(output)) if _is_masked(output, project) else correction


def correction_meant(correction: str, output: Output, project: Project) -> str:
    """What a rater made of the text they saw, with the hidden names back in their places."""
    if not _is_masked(output, project):
        return correction
    return unmasked(correction, output.text, _author(output))


def spans_meant(spans: list[dict], project: Project) -> list[dict]:
    """Spans of the texts that a rater saw, as spans of the texts that are stored."""
    return _spans(spans, project, lambda output, span: stored_span(*span, output.text, _author(output)), stored=True)


def spans_shown(spans: list[dict], project: Project) -> list[dict]:
    """Stored spans, as spans of the texts that a rater sees."""
    return _spans(spans, project, lambda output, span: shown_span(*span, output.text, _author(output)), stored=False)


def _spans(spans: list[dict], project: Project, move: Callable, *, stored: bool) -> list[dict]:
    if not spans or project.identity_leaks != IdentityLeaks.MASK:
        return spans
    outputs = Output.objects.select_related("model").in_bulk({span["output"] for span in spans})
    moved = []
    for span in spans:
        output = outputs.get(span["output"])
        if output is not None and _is_masked(output, project):
            start, end = move(output, (span["start"], span["end"]))
            text = output.text if stored else text_shown(output, project)
            span = {**span, "start": start, "end": end, "text": text[start:end]}
        moved.append(span)
    return moved


def _is_masked(output: Output, project: Project) -> bool:
    # What nobody has looked at yet is looked at now.
    return project.identity_leaks == IdentityLeaks.MASK and output.reveals_identity is not False


def _author(output: Output) -> str:
    return output.model.name if output.model_id else ""
