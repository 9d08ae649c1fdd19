"""One answer that came by itself, as from a chat; whole sets come through generations.py and outputs.py."""

from django.db import transaction

from feedbackhub.tracing import services as tracing

from .content import text_parts
from .generations import output_trace
from .identity import reveals_identity
from .models import ModelVersion, Output, Prompt


@transaction.atomic
def answer_keep(*, prompt: Prompt, model: ModelVersion, text: str, content_key: str, **facts) -> Output:
    """Store an answer by a model; the same content key makes it once.

    facts: decoding, seed, tokens, latency_ms, finish_reason, as far as they are known.
    """
    parts = text_parts(text.replace("\x00", ""))
    facts["reveals_identity"] = reveals_identity(parts, model.name)
    output, made = Output.objects.get_or_create(
        prompt=prompt, model=model, content_key=content_key, defaults={"parts": parts, **facts}
    )
    if made and tracing.enabled():
        tracing.runs_traced(project=prompt.project, runs=[output_trace(output)])
    return output
