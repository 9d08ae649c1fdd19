from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from feedbackhub.overview.digest import WEEK, digest_mail, digests_send, is_on
from feedbackhub.overview.models import DigestSubscription
from feedbackhub.projects.models import Project


class Command(BaseCommand):
    help = "Send the weekly digests that are due; the sweeper does so by itself where EMAIL_URL is set."

    def add_arguments(self, parser):
        parser.add_argument("project", nargs="?", help="only this project's, by its slug")
        parser.add_argument("--now", action="store_true", help="also those that are not due yet")
        parser.add_argument("--show", action="store_true", help="print the mails in the place of sending them")

    def handle(self, *args, project: str | None, now: bool, show: bool, **options):
        found = Project.objects.filter(slug=project).first() if project else None
        if project and found is None:
            raise CommandError(f'There is no project "{project}".')
        due_by = timezone.now() + (WEEK if now else WEEK * 0)
        if show:
            due = DigestSubscription.objects.filter(next_at__lte=due_by).select_related("project", "user")
            for subscription in due.filter(project=found) if found else due:
                mail = digest_mail(subscription, timezone.now())
                self.stdout.write(f"To: {subscription.address}\nSubject: {mail.subject}\n\n{mail.body}\n")
            return
        if not is_on():
            raise CommandError("This site sends no mail: set EMAIL_URL (docs/operating.md).")
        count = digests_send(due_by=due_by, project=found, at_most=10_000)
        self.stdout.write(f"{count} sent.")
