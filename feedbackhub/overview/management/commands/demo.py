"""`manage.py demo`: load the demo project; say who can be signed in as."""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from feedbackhub.core.errors import DomainError
from feedbackhub.overview.demo import SLUG, admin_token_set, demo_accounts, demo_load


class Command(BaseCommand):
    help = "Load the demo project with real answers to rate, unless it is there, and print its sign-ins."

    def add_arguments(self, parser):
        parser.add_argument("--sign-ins", action="store_true", help="load nothing: only print the sign-ins there are")

    def handle(self, *args, sign_ins: bool, **options):
        if not sign_ins:
            try:
                project, made = demo_load()
            except DomainError as error:
                raise CommandError(error.message) from error
            tasks = f"{project.tasks.count()} pairs to compare"
            self.stdout.write(f'project "{SLUG}" {"loaded" if made else "was there already"}: {tasks}')
        if accounts := demo_accounts():
            self.stdout.write("Sign in as (anybody can read these passwords; change them before others can reach it)")
        for account in accounts:
            self.stdout.write(f"  {account.username:12} {account.password:30} {account.does}")
        if (token := settings.FEEDBACKHUB_ADMIN_TOKEN) and not admin_token_set(token):
            self.stdout.write('FEEDBACKHUB_ADMIN_TOKEN is not used: there is no superuser called "admin".')
