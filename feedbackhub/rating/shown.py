"""What raters see of an output: its text, with names hidden where the project wants that, its pictures and videos."""

from feedbackhub.catalog.identity import masked, masked_as, unmasked
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


def _is_masked(output: Output, project: Project) -> bool:
    # What nobody has looked at yet is looked at now.
    return project.identity_leaks == IdentityLeaks.MASK and output.reveals_identity is not False


def _author(output: Output) -> str:
    return output.model.name if output.model_id else ""
