"""Who may do what. Pages, API and live connections all ask here.

A project that is not yours is said not to exist (404); a project that is yours in another role is forbidden (403).
"""

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.core.compiled import Compiled, Given
from feedbackhub.core.errors import Forbidden, NotFound

from .models import Membership, Project, Role

SUSPENDED = "suspended"  # a rater who gets no new tasks here, and keeps what they have said

RATE = frozenset({Role.RATER, Role.ADMIN})
OWN_WORK = RATE | {SUSPENDED}
READ_REPORTS = frozenset({Role.STAKEHOLDER, Role.ADMIN})
ADMINISTER = frozenset({Role.ADMIN})
ANY = frozenset(Role) | {SUSPENDED}


ROLES = Compiled(
    lambda: Membership.objects.filter(project=Given("project"), user=Given("user")).values_list(
        "role", "suspended_because"
    )
)


def roles_of(user: User, project: Project) -> frozenset[str]:
    """The roles of `user` in `project`; a superuser is admin everywhere, a suspended rater is SUSPENDED."""
    if not user.is_authenticated:
        return frozenset()
    found = ROLES(project=project.pk, user=user.pk)
    roles = {SUSPENDED if because and role == Role.RATER else role for role, because in found}
    if user.is_superuser:
        roles.add(Role.ADMIN)
    return frozenset(roles)


def require(user: User, project: Project, allowed: frozenset[str]) -> frozenset[str]:
    """The user's roles, if one of them is in `allowed`.

    Raises NotFound when the user has no role here at all, Forbidden when none of them is enough.
    """
    roles = roles_of(user, project)
    if not roles:
        raise NotFound(_('There is no project "%(project)s" that you belong to.') % {"project": project.slug})
    if not roles & allowed and SUSPENDED in roles and Role.RATER in allowed:
        raise Forbidden(suspension(user, project), code="suspended")
    if not roles & allowed:
        wanted = _(" or ").join(map(_, sorted(allowed)))
        raise Forbidden(
            _('In "%(project)s" this needs the role %(wanted)s; yours is %(roles)s.')
            % {"project": project.slug, "wanted": wanted, "roles": _(" and ").join(map(_, sorted(roles)))}
        )
    return roles


def suspension(user: User, project: Project) -> str:
    """What a suspended rater is told."""
    mine = Membership.objects.filter(project=project, user=user, role=Role.RATER)
    because = mine.values_list("suspended_because", flat=True).first() or ""
    said = _("An admin has paused your rating in “%(project)s”: %(because)s") % {
        "project": project.name,
        "because": because,
    }
    return said + " " + _("You get no new tasks here; what you have said stays. Ask an admin if this is wrong.")


def project_for(user: User, slug: str, allowed: frozenset[str]) -> tuple[Project, frozenset[str]]:
    """The project called `slug` with the user's roles in it, by the same rules as `require`."""
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        raise NotFound(_('There is no project "%(project)s" that you belong to.') % {"project": slug})
    return project, require(user, project, allowed)


def visible_projects(user: User) -> QuerySet[Project]:
    """The projects in which the user has a role, by name."""
    projects = Project.objects.order_by("name", "pk")
    return projects if user.is_superuser else projects.filter(memberships__user=user).distinct()
