"""Who may do what. Pages, API and live connections all ask here.

A project that is not yours is said not to exist (404); a project that is yours in another role is forbidden (403).
"""

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import Forbidden, NotFound

from .models import Membership, Project, Role

RATE = frozenset({Role.RATER, Role.ADMIN})
READ_REPORTS = frozenset({Role.STAKEHOLDER, Role.ADMIN})
ADMINISTER = frozenset({Role.ADMIN})
ANY = frozenset(Role)


def roles_of(user: User, project: Project) -> frozenset[str]:
    """The roles of `user` in `project`; a superuser is admin everywhere."""
    if not user.is_authenticated:
        return frozenset()
    roles = set(Membership.objects.filter(project=project, user_id=user.pk).values_list("role", flat=True))
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
    if not roles & allowed:
        wanted = _(" or ").join(map(_, sorted(allowed)))
        raise Forbidden(
            _('In "%(project)s" this needs the role %(wanted)s; yours is %(roles)s.')
            % {"project": project.slug, "wanted": wanted, "roles": _(" and ").join(map(_, sorted(roles)))}
        )
    return roles


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
