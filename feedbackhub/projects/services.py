from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.accounts.services import token_create
from feedbackhub.core.errors import DomainError, Forbidden

from .criteria import criteria_change_check, criteria_check
from .models import Membership, Project, Role, TaskKind


@transaction.atomic
def project_create(
    *,
    by: User,
    slug: str,
    name: str,
    guidelines: str = "",
    task_kind: str = TaskKind.PAIRWISE,
    criteria: list | None = None,
    judgments_per_task: int = 1,
    is_demo: bool = False,
) -> Project:
    """Create a project; its creator, who must be a superuser, becomes its admin."""
    if not by.is_superuser:
        raise Forbidden(_("Only a superuser creates projects. Ask one to create it and to make you its admin."))
    criteria = criteria or []
    if not isinstance(criteria, list):
        raise DomainError("criteria must be a list.", fields={"criteria": "must be a list"})
    criteria_check(criteria)
    if task_kind == TaskKind.SCORES and not criteria:
        message = _("A project of kind scores needs at least one criterion.")
        raise DomainError(message, fields={"criteria": message})
    project = Project(
        slug=slug,
        name=name,
        guidelines=guidelines,
        task_kind=task_kind,
        criteria=criteria,
        judgments_per_task=judgments_per_task,
        is_demo=is_demo,
        created_by=by,
    )
    _clean(project, taken=Project.objects.filter(slug=slug).exists())
    project.save()
    Membership.objects.create(project=project, user=by, role=Role.ADMIN)
    return project


def _clean(project: Project, *, taken: bool = False) -> None:
    try:
        project.full_clean()
    except ValidationError as error:
        fields = {name: " ".join(messages) for name, messages in error.message_dict.items()}
        message = "; ".join(f"{field}: {problem}" for field, problem in fields.items())
        raise DomainError(
            message, code="conflict" if taken else "invalid", fields=fields, status=409 if taken else 400
        ) from error


CHANGEABLE = (
    "criteria",
    *("name", "guidelines", "judgments_per_task", "order", "explore_percent"),
    *("gold_percent", "repeat_percent", "deadline", "identity_leaks"),
    "smallest_difference",
)


@transaction.atomic
def project_change(*, project: Project, **changes) -> Project:
    """Change any of CHANGEABLE. New guidelines are a new version, so that a judgment knows under which it was made;
    `judgments_per_task` is for tasks that are made from now on.

    Raises DomainError, and changes nothing, when a value is wrong.
    """
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if unknown := sorted(set(changes) - set(CHANGEABLE)):
        message = f"{unknown[0]} cannot be changed; what can: {', '.join(CHANGEABLE)}."
        raise DomainError(message, fields={unknown[0]: message})
    if changes.get("criteria", project.criteria) != project.criteria:
        criteria_check(changes["criteria"])
        criteria_change_check(project.criteria, changes["criteria"])
    if "guidelines" in changes and changes["guidelines"] != project.guidelines:
        project.guidelines_version += 1
    for name, value in changes.items():
        setattr(project, name, value)
    _clean(project)
    project.save()
    return project


@transaction.atomic
def member_remove(*, project: Project, membership: Membership) -> None:
    """Take a role away; what its holder has said stays. The last admin stays admin."""
    others = Membership.objects.select_for_update().filter(project=project, role=Role.ADMIN).exclude(pk=membership.pk)
    if membership.role == Role.ADMIN and not others.exists():
        raise DomainError(
            _("%(user)s is the last admin of this project; make somebody else admin first.") % {"user": membership.user}
        )
    membership.delete()


@transaction.atomic
def member_suspend(*, project: Project, user: User, because: str) -> None:
    """Give a rater no new tasks, and tell them why; an empty `because` lets them go on.

    Raises DomainError: they are no rater here, or an admin, who may rate whatever the rater's role says.
    """
    roles = Membership.objects.select_for_update().filter(project=project, user=user)
    if because and (user.is_superuser or roles.filter(role=Role.ADMIN).exists()):
        raise DomainError(
            _("%(username)s is an admin; take that role away first.") % {"username": user.username}, status=409
        )
    if not roles.filter(role=Role.RATER).update(suspended_because=because) and because:
        raise DomainError(
            _("%(username)s is no rater in this project any more.") % {"username": user.username}, status=409
        )


@transaction.atomic
def member_add(
    *, project: Project, username: str, role: str, password: str | None = None, is_simulated: bool = False
) -> tuple[Membership, str | None]:
    """Give `username` a role, creating the user if there is none.

    Returns the membership and, for a new user only, an API token that is never shown again.
    Raises DomainError: unknown role, bad username or password (400); a password for an existing user (409).
    """
    if role not in Role.values:
        message = f'role "{role}" is none of {", ".join(Role.values)}.'
        raise DomainError(message, fields={"role": message})
    user = User.objects.filter(username=username).first()
    if user is not None and password is not None:
        message = _('"%(username)s" exists already; leave the password out to give them another role.') % {
            "username": username
        }
        raise DomainError(message, code="conflict", fields={"password": message}, status=409)
    token = None
    if user is None:
        user = User(username=username, is_simulated=is_simulated)
        try:
            if password is not None:
                validate_password(password, user)
            user.set_password(password)
            user.full_clean(exclude=["password"])
            with transaction.atomic():
                user.save()
        except ValidationError as error:
            fields = error.message_dict if hasattr(error, "error_dict") else {"password": error.messages}
            fields = {name: " ".join(messages) for name, messages in fields.items()}
            raise DomainError("; ".join(fields.values()), fields=fields) from error
        except IntegrityError as error:
            raise DomainError(
                _('"%(username)s" was just created by someone else; try again.') % {"username": username}, status=409
            ) from error
        token = token_create(user=user)
    membership, _created = Membership.objects.get_or_create(project=project, user=user, role=role)
    return membership, token
