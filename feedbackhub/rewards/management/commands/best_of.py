from django.core.management.base import BaseCommand, CommandError

from feedbackhub.catalog.jobs import generation_run
from feedbackhub.catalog.models import Split
from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.rewards import selectors, services
from feedbackhub.rewards.jobs import scoring_run
from feedbackhub.rewards.models import BestOf


class Command(BaseCommand):
    help = (
        "Write n answers to prompts with a model, rank them with a reward model, keep best and worst as outputs of "
        "model versions of their own. Works it off here, in the foreground; what workers do of it meanwhile counts."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("--model", required=True, help="who writes, by its name")
        parser.add_argument("--reward-model", required=True, help="who ranks, by its name")
        parser.add_argument("--n", type=int, default=4, help="answers a prompt, 2 to 16 (4)")
        parser.add_argument("--split", choices=Split.values, help="prompts of this split only")
        parser.add_argument("--limit", type=int, help="prompts at most")
        parser.add_argument("--pairs", action="store_true", help="ask raters about the best against the worst")

    def handle(self, *, project, model, reward_model, n, split, limit, pairs, **_options) -> None:
        try:
            found = Project.objects.select_related("created_by").get(slug=project)
            best_of = services.best_of_create(
                project=found,
                model=model_by_name(project=found, name=model),
                reward_model=model_by_name(project=found, name=reward_model),
                n=n,
                split=split,
                limit=limit,
                pairs=pairs,
                by=found.created_by,
            )
        except Project.DoesNotExist:
            raise CommandError(f"There is no project {project}.") from None
        except DomainError as error:
            raise CommandError(error.message) from error
        for part in best_of.generation.parts.all():
            generation_run(part.run_id)
        best_of = services.best_of_advance(best_of)
        if best_of.scoring:
            scoring_run(best_of.scoring.run_id)
        self.tell(selectors.best_of_get(project=found, pk=best_of.pk))

    def tell(self, best_of: BestOf) -> None:
        shown = selectors.best_of_shown(best_of)
        if shown["status"] == "failed":
            raise CommandError(shown["message"])
        self.stdout.write(f"Best of {best_of.n}, set {best_of.pk}: {best_of.get_status_display()}.")
        if figures := shown["figures"]:
            gain, lower, upper = figures["gain"]
            interval = "" if lower is None else f" (95 %: {lower:.3f} to {upper:.3f})"
            self.stdout.write(f"Gain over one answer: {gain:.3f}{interval}, {figures['prompts']} prompts.")
            self.stdout.write(f"KL from the model: at most {figures['divergence_bound']:.3f} nats.")
            self.stdout.write(f"The best are outputs of “{shown['best']}”, the worst of “{shown['worst']}”.")
