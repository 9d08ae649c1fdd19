from csp.decorators import csp_update
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from . import catalog, checks, media, projects, quality, rating, reports, reward, rounds, suites

project = [
    path("", projects.ProjectDetail.as_view()),
    path("members/", projects.Members.as_view()),
    path("imports/", catalog.Imports.as_view()),
    path("models/", catalog.Models.as_view()),
    path("prompts/", catalog.Prompts.as_view()),
    path("outputs/", catalog.Outputs.as_view()),
    re_path(r"^media/(?P<digest>[0-9a-f]{64})/$", media.MediaFile.as_view(), name="media-api"),
    path("generations/", catalog.Generations.as_view()),
    path("tasks/", rating.Tasks.as_view()),
    path("tasks/next/", rating.NextTask.as_view()),
    path("judgments/", rating.History.as_view()),
    path("agreement/", rating.Agreement.as_view()),
    path("groups/", projects.Groups.as_view()),
    path("gold/", checks.GoldItems.as_view()),
    path("interventions/", checks.Interventions.as_view()),
    path("quality/", quality.Quality.as_view()),
    path("decisions/", quality.Decisions.as_view()),
    path("settlements/", quality.Settlements.as_view()),
    path("live/", checks.LivePace.as_view()),
    path("datasets/", rounds.Datasets.as_view()),
    path("rounds/", rounds.Rounds.as_view()),
    path("reward-scorings/", reward.RewardScorings.as_view()),
    path("evaluations/", reports.Evaluations.as_view()),
    path("suites/", suites.Suites.as_view()),
    path("data-requests/", suites.DataRequests.as_view()),
    path("leaderboard/", reports.Leaderboard.as_view()),
    path("ab/", reports.AB.as_view()),
]

v1 = [
    path("projects/", projects.Projects.as_view()),
    path("projects/<slug:slug>/", include(project)),
    path("imports/<int:pk>/", catalog.ImportDetail.as_view()),
    path("generations/<int:pk>/", catalog.GenerationDetail.as_view()),
    path("tasks/<int:pk>/judgments/", rating.Judgments.as_view()),
    path("tasks/<int:pk>/skip/", rating.Skip.as_view()),
    path("tasks/<int:pk>/release/", rating.Release.as_view()),
    path("judgments/<int:pk>/undo/", rating.Undo.as_view()),
    path("gold/<int:pk>/retire/", checks.GoldRetire.as_view()),
    path("interventions/<int:pk>/undo/", checks.InterventionUndo.as_view()),
    path("decisions/<int:pk>/undo/", quality.DecisionUndo.as_view()),
    path("tasks/<int:pk>/settlement/", quality.TaskSettlement.as_view()),
    path("settlements/<int:pk>/undo/", quality.SettlementUndo.as_view()),
    path("datasets/<int:pk>/", rounds.DatasetDetail.as_view()),
    path("datasets/<int:pk>/export/", rounds.DatasetExport.as_view(), name="dataset-export"),
    path("rounds/<int:pk>/", rounds.RoundDetail.as_view()),
    path("rounds/<int:pk>/launch/", rounds.RoundAction.as_view(action="launch")),
    path("rounds/<int:pk>/stop/", rounds.RoundAction.as_view(action="stop")),
    path("rounds/<int:pk>/resume/", rounds.RoundAction.as_view(action="resume")),
    path("rounds/<int:pk>/events/", rounds.RoundEvents.as_view()),
    path("evaluations/<int:pk>/", reports.EvaluationDetail.as_view()),
    path("evaluations/<int:pk>/items/", suites.EvaluationItems.as_view()),
    path("evaluations/<int:pk>/failures/", suites.EvaluationFailures.as_view()),
    path("evaluations/<int:pk>/queue/", suites.EvaluationQueue.as_view()),
    path("evaluations/<int:pk>/data-requests/", suites.EvaluationRequests.as_view()),
    path("suites/<int:pk>/", suites.SuiteDetail.as_view()),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
]

urlpatterns = [
    path("v1/", include(v1)),
    # Its stylesheet draws arrows from data: addresses.
    path(
        "docs/", csp_update({"img-src": ["data:"]})(SpectacularSwaggerView.as_view(url_name="schema")), name="api-docs"
    ),
]
