"""Who and what the benchmarks need: a superuser, a rater, prompts with answers."""

from itertools import islice


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
    made = Prompt.objects.bulk_create(rows, batch_size=2000)
    outputs = (
        Output(
            prompt=prompt, model=model, parts=text_parts(f"{model.name} says of {prompt.pk}. " * 20), content_key="0"
        )
        for prompt in made
        for model in versions
    )
    while chunk := list(islice(outputs, 4000)):
        Output.objects.bulk_create(chunk)
    return versions
