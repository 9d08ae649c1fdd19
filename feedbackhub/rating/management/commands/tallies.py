from django.core.management.base import BaseCommand, CommandError

from feedbackhub.projects.models import Project
from feedbackhub.rating.tally import tallies_check, tallies_rebuild


class Command(BaseCommand):
    help = "Check a project's pair and ranking tallies against its judgments, or rebuild them."

    def add_arguments(self, parser) -> None:
        parser.add_argument("action", choices=("check", "rebuild"))
        parser.add_argument("project", help="the project's slug")

    def handle(self, *, action: str, project: str, **options) -> None:
        found = Project.objects.filter(slug=project).first()
        if found is None:
            raise CommandError(f'There is no project "{project}".')
        if action == "rebuild":
            tallies_rebuild(project=found)
            self.stdout.write(f"The tallies of {project} are counted anew.")
            return
        differences = tallies_check(project=found)
        for one in differences:
            self.stdout.write(f"{one['key']}: stored {one['stored']}, judged {one['judged']}")
        if differences:
            raise CommandError(
                f"{len(differences)} tallies differ from the judgments; mend them: manage.py tallies rebuild {project}"
            )
        self.stdout.write(f"The tallies of {project} agree with its judgments.")
