"""The demo project can be rated at once, by people whose passwords stand on the sign-in page."""

import json
import time

import pytest
from django.core.management import call_command

from feedbackhub.accounts.models import User
from feedbackhub.accounts.services import user_of_token
from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.core.errors import DomainError
from feedbackhub.overview.demo import ACCOUNTS, FOLDER, demo_accounts, demo_load
from feedbackhub.projects.access import roles_of
from feedbackhub.projects.services import project_create
from feedbackhub.rating.models import Task
from feedbackhub.rating.services import task_next


@pytest.fixture(autouse=True)
def base(settings, weights):
    """The demo's contenders are registered on the embedded base, of which only headers are read."""
    settings.EMBEDDED_MODEL_DIR = weights


@pytest.mark.django_db
class TestLoading:
    def test_every_prompt_every_answer_and_every_pair(self):
        project, made = demo_load()
        assert made
        assert project.is_demo
        rows = [json.loads(line) for line in (FOLDER / "prompts.jsonl").open()]
        contenders = [one["name"] for one in json.loads((FOLDER / "contenders.json").read_text())]
        assert len(rows) >= 60
        assert len(contenders) >= 3
        assert {row["category"] for row in rows} == set(Prompt.objects.values_list("category", flat=True))
        assert Prompt.objects.filter(project=project).count() == len(rows)
        assert Output.objects.filter(prompt__project=project).count() == len(rows) * len(contenders)
        pairs = len(rows) * len(contenders) * (len(contenders) - 1) // 2
        identical = pairs - Task.objects.filter(project=project, kind="pairwise").count()
        assert 0 <= identical <= pairs // 20, "nearly every pair has two different answers"

    def test_contenders_can_answer_again(self, settings):
        project, _ = demo_load()
        described = {one["name"]: one["decoding"] for one in json.loads((FOLDER / "contenders.json").read_text())}
        for model in ModelVersion.objects.filter(project=project):
            assert model.kind == "local"
            assert model.base == str(settings.EMBEDDED_MODEL_DIR)
            assert model.decoding == described[model.name]

    def test_it_takes_less_than_three_seconds(self):
        start = time.process_time()
        demo_load()
        assert time.process_time() - start < 3

    def test_again_changes_nothing(self):
        project, _ = demo_load()
        before = [model.objects.count() for model in (User, Prompt, ModelVersion, Output, Task)]
        assert demo_load() == (project, False)
        assert [model.objects.count() for model in (User, Prompt, ModelVersion, Output, Task)] == before

    def test_the_rater_has_something_to_rate(self):
        project, _ = demo_load()
        lease = task_next(project=project, rater=User.objects.get(username="rater"))
        assert lease.task.project == project
        assert len(lease.outputs) == 2

    def test_each_account_has_its_role(self):
        project, _ = demo_load()
        for account in ACCOUNTS:
            assert account.role in roles_of(User.objects.get(username=account.username), project)
        assert [user.username for user in User.objects.filter(is_superuser=True)] == ["admin"]

    def test_somebodys_own_project_of_that_name_is_left_alone(self, root):
        project_create(by=root, slug="demo", name="Ours")
        with pytest.raises(DomainError, match="not the demo"):
            demo_load()


@pytest.mark.django_db
class TestSignIns:
    def test_the_page_offers_what_works(self, client):
        demo_load()
        page = client.get("/sign-in/").content.decode()
        for account in demo_accounts():
            assert account.password in page
            assert client.login(username=account.username, password=account.password)
        assert len(demo_accounts()) == 3

    def test_a_changed_password_is_offered_no_more(self, client):
        demo_load()
        admin = User.objects.get(username="admin")
        admin.set_password("a-secret-of-ours-1")
        admin.save()
        assert [account.username for account in demo_accounts()] == ["rater", "stakeholder"]
        assert "feedbackhub-demo-admin" not in client.get("/sign-in/").content.decode()

    def test_nothing_is_offered_without_the_demo(self, client, root):
        User.objects.create_user("rater", password="feedbackhub-demo-rater")
        assert demo_accounts() == []
        assert "feedbackhub-demo" not in client.get("/sign-in/").content.decode()

    def test_the_admin_token(self, settings, capsys):
        settings.FEEDBACKHUB_ADMIN_TOKEN = "a-token-for-scripts"
        call_command("demo", "--sign-ins")
        assert "FEEDBACKHUB_ADMIN_TOKEN is not used" in capsys.readouterr().out
        call_command("demo")
        call_command("demo")
        assert user_of_token("a-token-for-scripts").username == "admin"
        assert "feedbackhub-demo-stakeholder" in capsys.readouterr().out
