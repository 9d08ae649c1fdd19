"""Writing a project's own suites: every change after a measurement makes a new version."""

import hashlib
import json

from django.db import transaction
from django.utils.translation import gettext as _

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project

from .models import Evaluation, Suite, SuiteItem, SuiteVersion
from .suite_reading import NAME, SuiteError, definition_read, items_read


@transaction.atomic
def suite_save(*, project: Project, name: str, definition: dict, items: list[dict], by=None) -> SuiteVersion:
    """Keep a suite: the first version of a new name, else the next one.

    The latest version is replaced while nothing was measured on it; the same content again is the same version.
    Raises DomainError naming what is wrong (fields name, definition, items).
    """
    name = name.strip()
    if not NAME.fullmatch(name) or name in Suite.values:
        message = _("A name has 1 to 80 letters, digits, spaces or . + - _, and is no suite of every project’s.")
        raise DomainError(message, fields={"name": message})
    try:
        read = definition_read(definition)
        rows = items_read(read, items)
    except SuiteError as error:
        raise DomainError(str(error), fields={error.field: str(error)}) from None
    kept = [
        read.kind,
        read.rules,
        read.task,
        read.settings,
        [[row.key, row.data, row.tags, row.example] for row in rows],
    ]
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    latest = SuiteVersion.objects.filter(project=project, name=name).order_by("-number").first()
    if latest is not None and latest.content_hash == digest:
        if latest.description != read.description:
            latest.description = read.description
            latest.save(update_fields=["description"])
        return latest
    number = 1
    if latest is not None:
        number = latest.number + 1
        if not Evaluation.objects.filter(suite_version=latest).exists():
            number = latest.number
            latest.delete()
    suite = SuiteVersion.objects.create(
        project=project,
        name=name,
        number=number,
        kind=read.kind,
        description=read.description,
        rules=read.rules,
        task=read.task,
        settings=read.settings,
        content_hash=digest,
        created_by=by,
    )
    SuiteItem.objects.bulk_create(
        (
            SuiteItem(suite=suite, position=n, key=row.key, data=row.data, tags=row.tags, example=row.example)
            for n, row in enumerate(rows)
        ),
        batch_size=500,
    )
    return suite


@transaction.atomic
def suite_delete(*, suite: SuiteVersion) -> None:
    """Remove a version on which nothing was measured. DomainError (409) for any other."""
    if Evaluation.objects.filter(suite_version=suite).exists():
        message = _("Models were measured on this version: it stays. Save the suite anew to change it.")
        raise DomainError(message, code="conflict", status=409)
    suite.delete()
