from channels.db import database_sync_to_async

from feedbackhub.core.errors import DomainError
from feedbackhub.core.live import PushConsumer
from feedbackhub.projects.access import READ_REPORTS, project_for


def leaderboard_group(project_id: int) -> str:
    return f"leaderboard.{project_id}"


class LeaderboardConsumer(PushConsumer):
    """Tells an open leaderboard that a vote has come in; the page then asks for the board again."""

    async def group(self) -> str | None:
        return await database_sync_to_async(self._group)()

    def _group(self) -> str | None:
        try:
            project, _ = project_for(self.scope["user"], self.scope["url_route"]["kwargs"]["slug"], READ_REPORTS)
        except DomainError:
            return None
        return leaderboard_group(project.pk)
