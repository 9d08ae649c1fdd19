from channels.db import database_sync_to_async

from feedbackhub.core.errors import DomainError
from feedbackhub.core.live import PushConsumer
from feedbackhub.projects.access import READ_REPORTS, require
from feedbackhub.runs.services import run_group

from .models import Round


class RoundConsumer(PushConsumer):
    """A round's events and states as they are stored."""

    async def group(self) -> str | None:
        return await database_sync_to_async(self._group)()

    def _group(self) -> str | None:
        tuning_round = Round.objects.select_related("project").filter(pk=self.scope["url_route"]["kwargs"]["round_id"])
        try:
            for found in tuning_round:
                require(self.scope["user"], found.project, READ_REPORTS)
                return run_group(found.run_id)
        except DomainError:
            return None
        return None
