"""What every page's shell needs: the project one is in, one's roles there, and the navigation."""


def shell(request) -> dict:
    project = getattr(request, "project", None)
    roles = getattr(request, "roles", frozenset())
    return {"project": project, "roles": roles, "nav": getattr(request, "nav", [])}
