from channels.db import database_sync_to_async

from feedbackhub.core.errors import DomainError
from feedbackhub.core.live import PushConsumer
from feedbackhub.projects.access import ADMINISTER, require

from .models import Chat
from .serving import chat_group


class ChatConsumer(PushConsumer):
    """Tells an open chat that there is something new; the page then asks for it."""

    async def group(self) -> str | None:
        return await database_sync_to_async(self._group)()

    def _group(self) -> str | None:
        chat = Chat.objects.select_related("project").filter(pk=self.scope["url_route"]["kwargs"]["chat_id"]).first()
        try:
            if chat is not None:
                require(self.scope["user"], chat.project, ADMINISTER)
                return chat_group(chat.pk)
        except DomainError:
            return None
        return None
