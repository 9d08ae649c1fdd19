"""Who and what the benchmarks need: a superuser, raters, tasks, judgments, as many as wished."""

import os
import uuid

from django.core.management.color import no_style
from django.db import connection


def admin():
    from feedbackhub.accounts.models import User

    user, _ = User.objects.get_or_create(username="bench", defaults={"is_superuser": True})
    return user


def rater(project, name: str = "rater"):
    from feedbackhub.projects.services import member_add

    return member_add(project=project, username=f"{name}-{project.slug}", role="rater")[0].user


def api_of(user):
    from rest_framework.test import APIClient

    from feedbackhub.accounts.services import token_create

    api = APIClient(SERVER_NAME="127.0.0.1")
    api.credentials(HTTP_AUTHORIZATION=f"Token {token_create(user=user)}")
    return api


def tasks_make(project, *, tasks: int, judgments_wanted: int = 1) -> None:
    """`tasks` prompts, each with answers of some 400 characters by two models and a pairwise task of them.

    The first is made as the product makes it, the others are copies of its rows, made by the database itself.
    """
    from feedbackhub.catalog.models import ModelVersion, Output, Prompt
    from feedbackhub.rating.models import Assignment, Task, TaskOutput
    from feedbackhub.rating.services import tasks_create

    models = [ModelVersion.objects.create(project=project, name=f"model-{n}", kind="imported") for n in range(2)]
    prompt = _answered_prompt(project, models)
    project.judgments_per_task = judgments_wanted
    project.save()
    tasks_create(project=project, models=models)
    task = Task.objects.get(project=project)
    free = {model: (model.objects.order_by("-pk").values_list("pk", flat=True).first()) for model in (Prompt, Task)}
    prompt_of = f"{free[Prompt]} + n"
    task_of = f"{free[Task]} + n"
    copies(prompt, tasks - 1, id=prompt_of, digest=f"'{project.slug}-' || n")
    copies(task, tasks - 1, id=task_of, prompt_id=prompt_of, outputs_key=f"'{project.slug}-' || n")
    for output in Output.objects.filter(prompt=prompt).order_by("pk"):
        last = Output.objects.order_by("-pk").values_list("pk", flat=True).first()
        output_of = f"{last} + n"
        copies(output, tasks - 1, id=output_of, prompt_id=prompt_of, run_uuid=_uuid())
        copies(TaskOutput.objects.get(task=task, output=output), tasks - 1, task_id=task_of, output_id=output_of)
    for assignment in Assignment.objects.filter(task=task):
        copies(assignment, tasks - 1, task_id=task_of, place=task_of)
    tidy()


def judgments_make(project, rater, *, judgments: int) -> None:
    """Let `rater` have judged the project's first `judgments` tasks: one really, the others as copies of its rows.

    The tasks are those of tasks_make, that is, their ids follow each other.
    """
    from feedbackhub.rating.models import Assignment, JudgmentItem, Serving, Task
    from feedbackhub.rating.services import judgment_record, task_next
    from feedbackhub.tracing.models import Delivery

    lease = task_next(project=project, rater=rater)
    judgment = judgment_record(
        rater=rater, task=lease.task, payload=vote({"outputs": [{"id": output.pk} for output in lease.outputs]})
    ).judgment
    first, second = Task.objects.filter(project=project).order_by("pk").values_list("pk", flat=True)[:2]
    assert lease.task.pk == first
    task_of, judgment_of = f"{second} - 1 + n", f"{judgment.pk} + n"
    count = judgments - 1
    served = Serving.objects.get(task=first, rater=rater)
    copies(served, count, task_id=task_of, place=task_of, shown=_outputs_of(task_of))
    copies(judgment, count, id=judgment_of, task_id=task_of, key=_uuid())
    for item in JudgmentItem.objects.filter(judgment=judgment):
        copies(item, count, judgment_id=judgment_of)
    for delivery in Delivery.objects.filter(subject=f"judgment:{judgment.pk}"):
        copies(
            delivery, count, dedupe_key=f"'{delivery.dedupe_key[:40]}-' || n", subject=f"'judgment:' || ({judgment_of})"
        )
    done = Assignment.objects.get(task=first, rater=rater)
    Assignment.objects.filter(task__gte=second, task__lt=second + count, ordinal=done.ordinal).update(
        state=done.state, rater=rater, leased_at=done.leased_at
    )
    tidy()


def copies(row, count: int, **changed: str) -> None:
    """INSERT `count` copies of a row; `changed`: SQL by column, in which n counts from 1."""
    if not count:
        return
    table = connection.ops.quote_name(row._meta.db_table)
    columns = [field.column for field in row._meta.concrete_fields if not field.primary_key or field.column in changed]
    quoted = [connection.ops.quote_name(column) for column in columns]
    values = [changed.get(column, f"{table}.{name}") for column, name in zip(columns, quoted)]
    if connection.vendor == "postgresql":
        numbers = f"(SELECT generate_series(1, {count}) AS n) numbers"
    else:
        numbers = f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(quoted)}) SELECT {', '.join(values)} "
            f"FROM {table}, {numbers} WHERE {table}.id = {row.pk}"
        )
        for statement in connection.ops.sequence_reset_sql(no_style(), [type(row)]):
            cursor.execute(statement)


def tidy() -> None:
    """What autovacuum does some minutes after a load like this; nobody rates a million tasks in the next minute."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()  # else the first commits wait until the load is on the disk


def _uuid() -> str:
    return "gen_random_uuid()" if connection.vendor == "postgresql" else "lower(hex(randomblob(16)))"


def _outputs_of(task: str) -> str:
    """SQL: the JSON list of a task's outputs."""
    function = "jsonb_agg" if connection.vendor == "postgresql" else "json_group_array"
    return f"(SELECT {function}(output_id) FROM rating_taskoutput WHERE task_id = {task})"


def _answered_prompt(project, models):
    from feedbackhub.catalog.content import text_parts
    from feedbackhub.catalog.models import Output
    from feedbackhub.catalog.services import prompt_get_or_create

    prompt, _ = prompt_get_or_create(project=project, prompt="What is to be said of it?")
    for model in models:
        Output.objects.create(
            prompt=prompt, model=model, parts=text_parts(f"{model.name} says a sentence. " * 15), content_key="0"
        )
    return prompt


# --- What a rater sends -----------------------------------------------------------------------------------------------


def vote(task: dict) -> dict:
    """A judgment of a task (as the API shows it): the answers ranked as shown."""
    shown = [output["id"] for output in task["outputs"]]
    return {"key": str(uuid.uuid4()), "ranking": [[one] for one in shown], "shown": shown, "duration_ms": 900}
