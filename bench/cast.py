"""Who and what the benchmarks need: a superuser, a rater, prompts with answers."""

from itertools import groupby, islice
from operator import itemgetter

from tqdm import tqdm


def admin():
    from feedbackhub.accounts.models import User

    user, _ = User.objects.get_or_create(username="bench", defaults={"is_superuser": True})
    return user


def rater(project):
    from feedbackhub.projects.services import member_add

    return member_add(project=project, username=f"rater-{project.slug}", role="rater")[0].user


def api_of(user):
    from rest_framework.test import APIClient

    from feedbackhub.accounts.services import token_create

    api = APIClient(SERVER_NAME="127.0.0.1")
    api.credentials(HTTP_AUTHORIZATION=f"Token {token_create(user=user)}")
    return api


def answers(project, *, prompts: int, models: int) -> list:
    """`prompts` prompts with an answer of some 400 characters by each of `models` models; returns the models."""
    from feedbackhub.catalog.content import messages_of, prompt_digest, text_parts
    from feedbackhub.catalog.models import ModelVersion, Output, Prompt

    versions = [ModelVersion.objects.create(project=project, name=f"model-{n}", kind="imported") for n in range(models)]
    rows = []
    for number in range(prompts):
        messages = messages_of(f"Question {number}: what is to be said of it?")
        rows.append(Prompt(project=project, messages=messages, digest=prompt_digest(messages), split="train"))
    made = _in_chunks(Prompt, tqdm(rows, desc="prompts", leave=False))
    outputs = (
        Output(
            prompt=prompt, model=model, parts=text_parts(f"{model.name} says of {prompt.pk}. " * 20), content_key="0"
        )
        for prompt in tqdm(made, desc="answers", leave=False)
        for model in versions
    )
    _in_chunks(Output, outputs)
    return versions


def pairwise_tasks(project) -> None:
    """A task of the first two answers to every prompt, as tasks_create makes them, but more than 10,000 at once."""
    from feedbackhub.catalog.models import Output
    from feedbackhub.rating.models import Assignment, Task, TaskOutput
    from feedbackhub.rating.tasks import outputs_key

    rows = Output.objects.filter(prompt__project=project).order_by("prompt_id", "pk").values_list("prompt_id", "pk")
    pairs = [
        (prompt, [pk for _, pk in islice(group, 2)])
        for prompt, group in groupby(rows.iterator(chunk_size=10_000), key=itemgetter(0))
    ]
    tasks = _in_chunks(
        Task,
        (
            Task(
                project=project,
                prompt_id=prompt,
                kind="pairwise",
                outputs_key=outputs_key("pairwise", pair),
                judgments_wanted=1,
            )
            for prompt, pair in tqdm(pairs, desc="tasks", leave=False)
        ),
    )
    _in_chunks(
        TaskOutput, (TaskOutput(task=task, output_id=pk) for task, (_, pair) in zip(tasks, pairs) for pk in pair)
    )
    _in_chunks(Assignment, (Assignment(task=task, project=project, ordinal=0) for task in tasks))


def _in_chunks(model, rows) -> list:
    made, rows = [], iter(rows)
    while chunk := list(islice(rows, 4000)):
        made += model.objects.bulk_create(chunk)
    return made
