"""What raters get of answers that say who wrote them, and of pictures and videos, on the pages and in the API."""

import uuid

import pytest
from pictures import MP4, png

from feedbackhub.catalog.content import text_parts
from feedbackhub.catalog.identity import reveals_identity
from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.catalog.services import model_create, model_get_or_create_imported, prompt_get_or_create
from feedbackhub.projects.services import project_change
from feedbackhub.rating.models import JudgmentItem, Task
from feedbackhub.rating.services import tasks_create, tasks_preview

pytestmark = pytest.mark.django_db
LEAK = "I am Claude, made by Anthropic. Light is scattered."


@pytest.fixture
def answered(project):
    """answered("Why?", red=[part or text, …], blue=…): an answer each; returns the models."""

    def make(question, **answers):
        prompt, _ = prompt_get_or_create(project=project, prompt=question)
        models = []
        for name, parts in answers.items():
            model = model_get_or_create_imported(project=project, name=name)
            parts = [part for one in parts for part in (text_parts(one) if isinstance(one, str) else [one])]
            Output.objects.create(
                prompt=prompt,
                model=model,
                parts=parts,
                content_key=uuid.uuid4().hex,
                reveals_identity=reveals_identity(parts, name),
            )
            models.append(model)
        return models

    return make


class TestIdentity:
    def test_shown_unless_somebody_wants_otherwise(self, answered, project, api_of, bob):
        tasks_create(project=project, models=answered("Why?", red=[LEAK], blue=["Light."]))
        task = api_of(bob).post("/api/v1/projects/kitchen/tasks/next/").json()
        assert LEAK in {output["text"] for output in task["outputs"]}

    def test_masked_for_raters_and_stored_as_it_was(self, answered, project, api_of, client_of, alice, bob):
        project = project_change(project=project, identity_leaks="mask")
        tasks_create(project=project, models=answered("Why?", red=[LEAK], blue=["Light."]))
        task = api_of(bob).post("/api/v1/projects/kitchen/tasks/next/").json()
        hidden = "I am [name hidden], made by [name hidden]. Light is scattered."
        assert {output["text"] for output in task["outputs"]} == {hidden, "Light."}
        page = client_of(bob).get("/p/kitchen/rate/").content.decode()
        assert "Claude" not in page
        assert "Anthropic" not in page
        assert hidden in page
        leak = Output.objects.get(model__name="red")
        assert leak.text == LEAK
        judgment = {
            "key": str(uuid.uuid4()),
            "shown": [output["id"] for output in task["outputs"]],
            "ranking": [[output["id"] for output in task["outputs"]]],
            "duration_ms": 5,
            "correction": {str(leak.pk): hidden.replace("Light", "Blue light")},
            "spans": [{"output": leak.pk, "start": 5, "end": 27, "text": hidden[5:27], "reason": "false"}],
        }
        assert api_of(bob).post(f"/api/v1/tasks/{task['id']}/judgments/", judgment, format="json").status_code == 201
        item = JudgmentItem.objects.get(output=leak)
        assert item.correction == LEAK.replace("Light", "Blue light"), "the mark was to be learned from"
        (span,) = item.judgment.spans
        assert (span["text"], LEAK[span["start"] : span["end"]]) == ("Claude, made by", "Claude, made by")
        (again,) = api_of(bob).get("/api/v1/projects/kitchen/judgments/").json()["results"][0]["spans"]
        assert (again["text"], again["start"], again["end"]) == ("[name hidden], made by", 5, 27)
        history = client_of(bob).get("/p/kitchen/rate/history/").content.decode()
        assert "Anthropic" not in history
        assert hidden in history
        edit = client_of(bob).get(f"/p/kitchen/rate/history/{item.judgment_id}/edit/").content.decode()
        assert "Anthropic" not in edit
        assert "Blue light is scattered." in edit

    def test_a_form_that_corrects_nothing_sends_no_correction(self, answered, project, client_of, bob):
        project = project_change(project=project, identity_leaks="mask")
        tasks_create(project=project, models=answered("Why?", red=[LEAK]), kind="thumbs")
        page = client_of(bob).get("/p/kitchen/rate/")
        (answer,) = page.context["answers"]
        form = {"key": page.context["key"], "shown": page.context["shown"], "verdict": "1", "duration_ms": "9"}
        form[f"correction_{answer['id']}"] = answer["text"]
        client_of(bob).post(f"/p/kitchen/rate/{Task.objects.get().pk}/", form)
        assert JudgmentItem.objects.get().correction == ""

    def test_excluded_from_new_tasks_with_the_reason(self, answered, project, alice, api_of):
        project = project_change(project=project, identity_leaks="exclude")
        models = answered("Why?", red=[LEAK], blue=["Light."], green=["Air."])
        answered("How?", red=["Thus."], blue=["So."])
        Output.objects.update(reveals_identity=None)
        names = [model.name for model in models]
        made = api_of(alice).post("/api/v1/projects/kitchen/tasks/", {"models": names}, format="json").json()
        assert made == {"created": 2, "skipped": {"reveals_identity": 2, "outputs_missing": 2}}
        assert tasks_preview(project=project, models=models, kind="ranking").skipped["reveals_identity"] == 1
        singles = tasks_create(project=project, models=models, kind="thumbs")
        assert (singles.created, singles.skipped) == (4, {"reveals_identity": 1, "outputs_missing": 1})

    def test_another_answer_of_the_same_model_takes_its_place(self, answered, project):
        project = project_change(project=project, identity_leaks="exclude")
        answered("Why?", red=["Scattering."], blue=["Light."])
        models = answered("Why?", red=[LEAK])
        models += answered("Why?", blue=["Light, again."])
        assert tasks_create(project=project, models=models).skipped == {}
        met = {output.text for output in Output.objects.filter(task_outputs__isnull=False)}
        assert met == {"Scattering.", "Light, again."}

    def test_the_pages_say_how_many_and_set_what_becomes_of_them(self, answered, project, client_of, api_of, alice):
        answered("Why?", red=[LEAK], blue=["Light."])
        page = client_of(alice).get("/p/kitchen/rate/tasks/").content.decode()
        assert "1 answer says who wrote it." in page
        assert "Raters see the names." in page
        assert (
            "says who wrote it" in client_of(alice).get(f"/p/kitchen/catalog/prompts/{Prompt.objects.get().pk}/").text
        )
        form = {"name": "Kitchen", "guidelines": "", "judgments_per_task": 1, "order": "in_turn", "explore_percent": 10}
        form |= {"gold_percent": 5, "repeat_percent": 0}
        client_of(alice).post("/p/kitchen/settings/", {**form, "identity_leaks": "mask"})
        assert api_of(alice).get("/api/v1/projects/kitchen/").json()["identity_leaks"] == "mask"
        changed = api_of(alice).patch("/api/v1/projects/kitchen/", {"identity_leaks": "exclude"}, format="json")
        assert changed.json()["identity_leaks"] == "exclude"
        wrong = api_of(alice).patch("/api/v1/projects/kitchen/", {"identity_leaks": "shout"}, format="json")
        assert (wrong.status_code, list(wrong.json()["fields"])) == (400, ["identity_leaks"])


class TestMedia:
    def test_a_task_names_its_media_by_address(self, answered, project, kept, api_of, bob):
        red, film = kept(png(), "A red square"), kept(MP4)
        tasks_create(project=project, models=answered("Draw", red=["Here.", red, film], blue=["Words only."]))
        task = api_of(bob).post("/api/v1/projects/kitchen/tasks/next/").json()
        media = {output["text"]: output.get("media") for output in task["outputs"]}
        assert media["Words only."] is None
        assert [(one["type"], one["alt"], sorted(one)) for one in media["Here."]] == [
            ("image", "A red square", ["alt", "type", "url"]),
            ("video", "", ["alt", "type", "url"]),
        ]
        url = media["Here."][0]["url"]
        assert url.startswith("http://testserver/api/v1/projects/kitchen/media/")
        assert api_of(bob).get(url).content == png()

    @pytest.mark.parametrize("kind", ["pairwise", "ranking", "thumbs", "scores"])
    def test_every_kind_of_task_shows_them(self, answered, project, kept, client_of, bob, kind):
        project.criteria = [{"key": "truth", "label": "Truth", "min": 1, "max": 3}]
        project.save()
        pictures = {
            name: [kept(png((n, 0, 0)), f"{name} square"), kept(MP4)] for n, name in enumerate(("red", "blue", "green"))
        }
        assert len({part["media"] for parts in pictures.values() for part in parts}) == 4
        models = answered("Draw", **pictures)
        Prompt.objects.update(messages=[{"role": "user", "content": [kept(png((9, 9, 9)), "a sketch")]}])
        made = tasks_create(project=project, models=models[:2] if kind == "pairwise" else models, kind=kind)
        assert made.created == {"pairwise": 1, "ranking": 1, "thumbs": 3, "scores": 3}[kind], "pictures told apart"
        page = client_of(bob).get("/p/kitchen/rate/").content.decode()
        answers = {"pairwise": 2, "ranking": 3}.get(kind, 1)
        assert page.count("<video ") == answers
        assert page.count("<img ") == answers + 1
        assert 'alt="a sketch"' in page
        assert "autoplay" not in page
        assert "This answer is empty." not in page

    def test_models_here_neither_answer_nor_learn_from_what_they_cannot_see(
        self, answered, project, kept, alice, api_of, weights
    ):
        model_create(project=project, name="tiny", kind="local", base=str(weights))
        answered("Draw", red=[kept(png())], blue=[kept(png((0, 0, 9)))])
        prompt = Prompt.objects.get()
        prompt.messages = [{"role": "user", "content": [*text_parts("What is it?"), kept(png())]}]
        prompt.split = "train"
        prompt.save()
        answer = api_of(alice).post("/api/v1/projects/kitchen/datasets/", {"kind": "prompts"}, format="json")
        assert (answer.status_code, answer.json()["excluded"]) == (400, {"pictures_or_videos": 1})
        wish = {"models": ["tiny"], "prompts": [prompt.pk]}
        answer = api_of(alice).post("/api/v1/projects/kitchen/generations/", wish, format="json")
        assert answer.status_code == 400
        assert "which models here cannot look at" in answer.json()["detail"]
        answer = api_of(alice).post("/api/v1/projects/kitchen/generations/", {"models": ["tiny"]}, format="json")
        assert "There is no prompt to answer" in answer.json()["detail"]
