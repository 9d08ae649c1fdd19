from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path
from django.views.i18n import set_language

from feedbackhub.core import views as core
from feedbackhub.leaderboard.share_views import shared
from feedbackhub.overview import views as overview
from feedbackhub.overview.demo import demo_accounts

# The template calls demo_accounts when it gets there.
SIGN_IN = auth.LoginView.as_view(redirect_authenticated_user=True, extra_context={"demo_accounts": demo_accounts})

urlpatterns = [
    path("healthz", core.healthz, name="healthz"),
    path("language/", set_language, name="set_language"),
    path("words/<str:language>.js", core.words, name="words"),
    path("admin/", admin.site.urls),
    path("sign-in/", SIGN_IN, name="login"),
    path("sign-out/", auth.LogoutView.as_view(), name="logout"),
    path("api/", include("feedbackhub.api.urls")),
    path("", overview.home, name="home"),
    path("", include("feedbackhub.overview.urls")),
    path("p/<slug:slug>/settings/", include("feedbackhub.projects.urls")),
    path("p/<slug:slug>/catalog/", include("feedbackhub.catalog.urls")),
    path("p/<slug:slug>/imports/", include("feedbackhub.imports.urls")),
    path("p/<slug:slug>/rate/", include("feedbackhub.rating.urls")),
    path("p/<slug:slug>/chats/", include("feedbackhub.chat.urls")),
    path("p/<slug:slug>/reward-models/", include("feedbackhub.rewards.urls")),
    path("p/<slug:slug>/rounds/", include("feedbackhub.rounds.urls")),
    path("p/<slug:slug>/evaluations/", include("feedbackhub.evaluation.urls")),
    path("p/<slug:slug>/leaderboard/", include("feedbackhub.leaderboard.urls")),
    path("shared/<str:token>/", shared, name="shared"),
    path("p/<slug:slug>/langsmith/", include("feedbackhub.tracing.urls")),
]

handler400 = "feedbackhub.core.views.bad_request"
handler403 = "feedbackhub.core.views.forbidden"
handler404 = "feedbackhub.core.views.not_found"
handler500 = "feedbackhub.core.views.server_error"
