"""A pair that a person has before them outside the line, as in a chat: a task made for their judgment alone."""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from feedbackhub.accounts.models import User
from feedbackhub.catalog.models import Output
from feedbackhub.projects.models import TaskKind

from .leases import lease_end
from .models import Assignment, Serving, Task, TaskOutput
from .tasks import outputs_key


@transaction.atomic
def pair_task(*, rater: User, outputs: Sequence[Output]) -> Task:
    """The pairwise task of these two outputs of one prompt, held by the rater, shown in this order; made once."""
    prompt, now = outputs[0].prompt, timezone.now()
    task, made = Task.objects.get_or_create(
        project=prompt.project,
        outputs_key=outputs_key(TaskKind.PAIRWISE, [output.pk for output in outputs]),
        defaults={"prompt": prompt, "kind": TaskKind.PAIRWISE, "judgments_wanted": 1},
    )
    if made:
        TaskOutput.objects.bulk_create(TaskOutput(task=task, output=output) for output in outputs)
        held = {"state": Assignment.State.LEASED, "leased_at": now, "lease_expires_at": lease_end(now)}
        Assignment.objects.create(task=task, project=prompt.project, ordinal=0, rater=rater, **held)
    Serving.objects.get_or_create(
        task=task,
        rater=rater,
        defaults={"project": prompt.project, "shown": [output.pk for output in outputs], "served_at": now},
    )
    return task
