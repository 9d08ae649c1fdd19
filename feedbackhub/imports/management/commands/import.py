# ruff: noqa: N999 (the command is called import: CONTRACT)
"""manage.py import PROJECT KIND FILE: what the import endpoint does, read here in the foreground."""

import time
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError
from feedbackhub.core.json_reading import json_read
from feedbackhub.imports.models import Import
from feedbackhub.imports.services import OPEN, import_create, import_run
from feedbackhub.projects.access import ADMINISTER, project_for

REJECTIONS_PRINTED = 20
POLL_SECONDS = 0.5


class Command(BaseCommand):
    help = "Import prompts, outputs, votes or preferences from a .jsonl, .jsonl.gz, .csv, .parquet or .zip file."

    def add_arguments(self, parser) -> None:
        parser.add_argument("project", metavar="PROJECT", help="the project's slug")
        parser.add_argument("kind", metavar="KIND", help=", ".join(Import.Kind.values))
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--map", metavar="JSON", help='our field → theirs, like {"prompt": "question.text"}')
        parser.add_argument("--template", default="", metavar="TEXT", help="the prompt, with {field} of the source row")
        parser.add_argument("--as", dest="username", metavar="USERNAME", help="who imports; else the first superuser")

    def handle(self, *args, **options) -> None:
        try:
            report = self._imported(options)
        except DomainError as error:
            raise CommandError(error.message) from error
        self._tell(report)
        if report.status == Import.Status.FAILED:
            raise CommandError(f"The import failed: {report.error}")

    def _imported(self, options: dict) -> Import:
        user = self._user(options["username"])
        project, _ = project_for(user, options["project"], ADMINISTER)
        try:
            file = options["file"].open("rb")
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from error
        with file:
            report = import_create(
                project=project,
                by=user,
                kind=options["kind"],
                file=file,
                filename=options["file"].name,
                field_map=self._map(options["map"]),
                template=options["template"],
            )
        with tqdm(total=report.size, unit="B", unit_scale=True, desc=report.filename) as bar:
            return self._read(report, bar)

    def _user(self, username: str | None) -> User:
        if username:
            user = User.objects.filter(username=username).first()
            if user is None:
                raise CommandError(f'There is no user "{username}".')
            return user
        user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
        if user is None:
            raise CommandError("There is no superuser yet; make one with createsuperuser, or name a user with --as.")
        return user

    def _map(self, text: str | None) -> dict:
        try:
            return json_read(text) if text else {}
        except ValueError as error:
            raise CommandError(f"--map is not JSON: {error}") from error

    def _read(self, report: Import, bar: tqdm) -> Import:
        """Read it here; where a worker was quicker to take it, watch that one."""

        def progress(report: Import) -> None:
            bar.set_postfix(lines=report.read, rejected=report.rejected_count)
            bar.update(report.bytes_read - bar.n)

        while (ended := import_run(report.pk, progress)) is None:
            time.sleep(POLL_SECONDS)
            report.refresh_from_db()
            progress(report)
            if report.status not in OPEN:
                ended = report
                break
        bar.update((ended.size if ended.status == Import.Status.DONE else ended.bytes_read) - bar.n)
        return ended

    def _tell(self, report: Import) -> None:
        created = ", ".join(f"{made:,} {name}" for name, made in report.made) or "nothing"
        self.stdout.write(f"{report.read:,} lines read; created: {created}; {report.rejected_count:,} lines rejected.")
        for rejection in report.rejections.order_by("line")[:REJECTIONS_PRINTED]:
            self.stdout.write(f"  line {rejection.line}: {rejection.error}")
        if report.rejected_count > REJECTIONS_PRINTED:
            self.stdout.write(f"  … and {report.rejected_count - REJECTIONS_PRINTED:,} more; see the import's page.")
