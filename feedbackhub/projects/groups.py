"""Groups of raters: a share of a project's judgments, and the languages that they read."""

import re
from collections.abc import Iterable

from django.db import transaction
from django.utils.translation import gettext as _

from feedbackhub.core.errors import DomainError

from .models import Membership, Project, RaterGroup, Role

LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")


@transaction.atomic
def group_set(*, project: Project, name: str, weight: int = 1, languages: Iterable[str] = ()) -> RaterGroup:
    """Make the group of this name, or change it. It holds for tasks that are made from now on.

    languages: BCP 47 tags (en, de, pt-BR) of the prompts that it may judge; none is all. Raises DomainError by field.
    """
    name, languages = name.strip(), [one.strip() for one in languages if one.strip()]
    fields = {}
    if not 0 < len(name) <= 60:
        fields["name"] = "name must be a text of 1 to 60 characters."
    if not 1 <= weight <= 100:
        fields["weight"] = f"weight {weight} must be from 1 to 100."
    if wrong := [one for one in languages if not LANGUAGE.fullmatch(one)]:
        fields["languages"] = f'"{wrong[0]}" is no language tag; give such as en, de or pt-BR.'
    if fields:
        raise DomainError("; ".join(fields.values()), fields=fields)
    given = {"weight": weight, "languages": sorted(set(languages))}
    group, _ = RaterGroup.objects.update_or_create(project=project, name=name, defaults=given)
    return group


@transaction.atomic
def group_remove(*, group: RaterGroup) -> None:
    """Its raters are in no group then, and its open work is everyone's."""
    group.delete()


@transaction.atomic
def member_group_set(*, membership: Membership, group: RaterGroup | None) -> None:
    """Put somebody who rates into a group of the project, or into none."""
    if group is not None and group.project_id != membership.project_id:
        raise DomainError(f"{group} is a group of another project.", fields={"group": "of another project"})
    if membership.role == Role.STAKEHOLDER:
        raise DomainError(
            _("%(user)s is a stakeholder and rates nothing.") % {"user": membership.user},
            fields={"group": "rates nothing"},
        )
    Membership.objects.filter(pk=membership.pk).update(group=group)


def groups_for(groups: Iterable[RaterGroup], language: str) -> list[RaterGroup]:
    """Those that may judge a prompt in this language (blank: not known, so all of them)."""
    root = language.split("-")[0]
    return [group for group in groups if not language or not group.languages or {language, root} & set(group.languages)]


class Shares:
    """Who judges next, so that groups keep to their weights whatever the order: the one furthest behind its share."""

    def __init__(self) -> None:
        self.given: dict[tuple, dict[int, int]] = {}

    def next(self, groups: list[RaterGroup]) -> RaterGroup | None:
        """The group of the next judgment; None where there is no group."""
        if not groups:
            return None
        given = self.given.setdefault(tuple(group.pk for group in groups), dict.fromkeys([g.pk for g in groups], 0))
        chosen = min(groups, key=lambda group: ((given[group.pk] + 1) / group.weight, group.pk))
        given[chosen.pk] += 1
        return chosen
