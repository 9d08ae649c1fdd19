"""The demo project: prompts of our own, real answers of one small model in three voices, three people to sign in as."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.db import transaction
from django.utils.translation import gettext_noop

from feedbackhub.accounts.models import User
from feedbackhub.accounts.services import token_create
from feedbackhub.catalog.content import messages_of
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.services import (
    ImportedOutput,
    PromptRow,
    model_create,
    outputs_bulk_create,
    prompts_bulk_get_or_create,
)
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project, Role
from feedbackhub.projects.services import member_add, project_create
from feedbackhub.rating.services import tasks_create

SLUG = "demo"
NAME = "Demo: small model, three voices"
FOLDER = Path(settings.BASE_DIR) / "feedbackhub" / "catalog" / "demo"
GUIDELINES = """\
Two answers to one prompt, written by a **very small** language model. Choose the one that you would rather get.

1. **True beats nice.** A wrong fact, or something that the prompt did not say, loses against a plain right answer.
2. **It does what was asked.** A summary is short and leaves out no main point; a rewriting keeps the meaning.
3. **Then the writing:** clear, no repetition, no empty sentences.

Equally good: *tie*. Both useless: *both bad*. A short comment helps whoever reads the votes later.
"""


@dataclass(frozen=True)
class DemoAccount:
    """Somebody to sign in as. The password is public: it is printed, shown on the sign-in page, and in this file."""

    username: str
    role: str
    does: str

    @property
    def password(self) -> str:
        return f"feedbackhub-demo-{self.username}"


ACCOUNTS = (
    DemoAccount("admin", Role.ADMIN, gettext_noop("runs everything")),
    DemoAccount("rater", Role.RATER, gettext_noop("compares answers")),
    DemoAccount("stakeholder", Role.STAKEHOLDER, gettext_noop("reads the results")),
)


@lru_cache(maxsize=32)
def _is_password(encoded: str, password: str) -> bool:
    # Checking a password takes a third of a second by design; the same question is asked on every sign-in page.
    return check_password(password, encoded)


def demo_accounts() -> list[DemoAccount]:
    """Those who can still be signed in as: the demo project is there, and their passwords were not changed."""
    if not Project.objects.filter(slug=SLUG, is_demo=True).exists():
        return []
    users = {user.username: user for user in User.objects.filter(username__in=[a.username for a in ACCOUNTS])}
    return [
        account
        for account in ACCOUNTS
        if (user := users.get(account.username)) is not None
        and user.is_active
        and _is_password(user.password, account.password)
    ]


@transaction.atomic
def demo_load() -> tuple[Project, bool]:
    """The demo project, made if there is none, and whether this call made it.

    Raises DomainError: the embedded base model is missing, or the slug belongs to somebody's own project.
    """
    if project := Project.objects.filter(slug=SLUG).first():
        if not project.is_demo:
            message = f'There is a project "{SLUG}" that is not the demo; rename or remove it to load the demo.'
            raise DomainError(message, code="conflict", status=409)
        return project, False
    project = project_create(by=_admin(), slug=SLUG, name=NAME, guidelines=GUIDELINES, is_demo=True)
    for account in ACCOUNTS[1:]:
        known = User.objects.filter(username=account.username).exists()
        password = None if known else account.password
        member_add(project=project, username=account.username, role=account.role, password=password)
    models = [_contender(project, **described) for described in json.loads((FOLDER / "contenders.json").read_text())]
    _answers_load(project, {model.name: model for model in models})
    tasks_create(project=project, models=models)
    return project, True


def _admin() -> User:
    """The demo's admin, who may do everything on this site."""
    account = ACCOUNTS[0]
    user = User.objects.filter(username=account.username).first()
    if user is None:
        return User.objects.create_superuser(account.username, password=account.password)
    if not user.is_superuser:
        message = f'There is a user "{account.username}" who is no superuser; the demo needs one of that name.'
        raise DomainError(message, code="conflict", status=409)
    return user


def _contender(project: Project, *, name: str, decoding: dict, description: str) -> ModelVersion:
    base = str(settings.EMBEDDED_MODEL_DIR)
    return model_create(project=project, name=name, kind=ModelVersion.Kind.LOCAL, base=base, decoding=decoding)


def _answers_load(project: Project, models: dict[str, ModelVersion]) -> None:
    with (FOLDER / "outputs.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    made = prompts_bulk_get_or_create(
        project=project,
        rows=[
            PromptRow(
                messages=messages_of(row["prompt"]),
                references=row.get("references", []),
                category=row["category"],
                external_id=row["id"],
            )
            for row in rows
        ],
    )
    outputs_bulk_create(
        rows=[
            ImportedOutput(prompt=prompt, model=models[answer["model"]], text=answer["text"])
            for row, (prompt, _) in zip(rows, made)
            for answer in row["outputs"]
        ]
    )


def admin_token_set(token: str) -> bool:
    """Make `token` an API token of the demo's admin, for scripts. False when there is no such superuser."""
    admin = User.objects.filter(username=ACCOUNTS[0].username, is_superuser=True, is_active=True).first()
    if admin is None:
        return False
    token_create(user=admin, token=token)
    return True
