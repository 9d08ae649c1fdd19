import os
import warnings

# WhiteNoise hands out files as plain iterators; Django reads them in a thread, and would say so at each start.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedbackhub.settings")

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from feedbackhub.core.asgi import application as django_application  # noqa: E402

django = django_application()

from feedbackhub.accounts.sockets import OriginOrTokenMiddleware  # noqa: E402
from feedbackhub.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": django,
        "websocket": AuthMiddlewareStack(OriginOrTokenMiddleware(URLRouter(websocket_urlpatterns))),
    }
)
