import json

from django.core.management.base import BaseCommand, CommandError

from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project
from feedbackhub.rounds import selectors, services
from feedbackhub.rounds.loop import finished, runs_supervised
from feedbackhub.rounds.search import STEPS, Search, search, settings_with
from feedbackhub.runs.models import Run, RunState


class Command(BaseCommand):
    help = (
        "Try settings for a round, a short run each: the learning rate, then β, then the rank, judged on the dataset's "
        "validation rows. Prints every try and the pick with its reason. Run again, it goes on where it was stopped."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("dataset", type=int, help="the dataset's number")
        parser.add_argument("--recipe", default="dpo")
        parser.add_argument("--base", default="smollm2-135m", help="the model to start from, by its name")
        parser.add_argument("--begin", default="{}", help="JSON: where the search begins, if not at the defaults")
        parser.add_argument("--steps", type=int, default=STEPS, help=f"optimiser steps of a try (default {STEPS})")
        parser.add_argument("--draft", action="store_true", help="make a draft of a round with the pick")

    def handle(self, *, project, dataset, recipe, base, begin, steps, draft, **_options) -> None:
        try:
            found = Project.objects.select_related("created_by").get(slug=project)
            given = {
                "recipe": recipe,
                "base_model": model_by_name(project=found, name=base),
                "dataset": selectors.dataset_get(project=found, pk=dataset),
            }
            began = json.loads(begin)
            result = search(
                project=found, by=found.created_by, finish=self.finish, settings=began, steps=steps, **given
            )
            self.tell(result)
            if draft:
                chosen = settings_with(began, result.pick.settings)
                made = services.round_create(project=found, by=found.created_by, settings=chosen, **given)
                self.stdout.write(f"Round {made.number} is drafted with them.")
        except Project.DoesNotExist:
            raise CommandError(f"There is no project {project}.") from None
        except ValueError as error:
            raise CommandError(f"--begin is not JSON: {error}.") from None
        except DomainError as error:
            raise CommandError(error.message) from None

    def finish(self, run: Run) -> Run:
        if run.state != RunState.COMPLETED:
            run = finished(run, runs_supervised, lambda _run: None)
        tried = {name: run.spec["settings"].get(name) for name in ("learning_rate", "beta", "lora_r")}
        shown = ", ".join(f"{name} {value:g}" for name, value in tried.items() if value is not None)
        self.stderr.write(f"run {run.pk}: {shown}: {run.state} {run.error_message[:200]}")
        return run

    def tell(self, result: Search) -> None:
        self.stdout.write(f"| run | {' | '.join(result.pick.settings)} | validation {result.metric} | ± | |")
        self.stdout.write("|---|" + "---:|" * (len(result.pick.settings) + 2) + "---|")
        for one in result.tries:
            values = " | ".join(f"{value:g}" for value in one.settings.values())
            mark = "picked" if one is result.pick else ""
            self.stdout.write(f"| {one.run.pk} | {values} | {abs(one.score):.4g} | {one.error:.2g} | {mark} |")
        self.stdout.write(f"\nPicked: {result.reason}")
