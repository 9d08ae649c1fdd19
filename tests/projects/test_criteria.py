"""A rubric: criteria with anchors, over the API and as a person writes them."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.criteria import criteria_check, criteria_read, criteria_written
from feedbackhub.projects.models import Project
from feedbackhub.projects.services import project_change

pytestmark = pytest.mark.django_db
TRUTH = {"key": "truth", "label": "Truth", "min": 1, "max": 5, "anchors": {"1": "all wrong", "5": "all right"}}


def test_lines_are_read_and_written():
    text = "truth | Truth | 1 to 5 | 1: all wrong; 5: all right\nstyle | Style | 0–1.5"
    criteria = criteria_read(text)
    assert criteria == [TRUTH, {"key": "style", "label": "Style", "min": 0, "max": 1.5}]
    assert criteria_read(criteria_written(criteria)) == criteria


@pytest.mark.parametrize(
    "line", ["truth", "truth | Truth | many", "truth | Truth | 1 to 5 | wrong", "a | b | 1 to 5 | 1: x | y"]
)
def test_a_line_that_cannot_be_read_is_named(line):
    with pytest.raises(DomainError, match="line 2"):
        criteria_read(f"style | Style | 1 to 2\n{line}")


@pytest.mark.parametrize(
    ("anchors", "words"),
    [({"9": "x"}, "not from 1 to 5"), ({"x": "y"}, "no level"), (["x"], "an object"), ({"1": "x" * 201}, "longer")],
)
def test_wrong_anchors_are_refused(anchors, words):
    with pytest.raises(DomainError, match=words) as refused:
        criteria_check([{**TRUTH, "anchors": anchors}])
    assert list(refused.value.fields) == ["criteria"]


def test_labels_and_anchors_change_and_keys_stay(project):
    project = project_change(project=project, criteria=[TRUTH])
    project = project_change(project=project, criteria=[{**TRUTH, "label": "Is it true?", "anchors": {"3": "half"}}])
    assert project.criteria[0]["anchors"] == {"3": "half"}
    more = {"key": "style", "label": "Style", "min": 1, "max": 3}
    assert len(project_change(project=project, criteria=[*project.criteria, more]).criteria) == 2
    for wrong in ([], [{**TRUTH, "max": 7}], [more]):
        with pytest.raises(DomainError, match="keys and ranges"):
            project_change(project=project, criteria=wrong)


def test_a_project_of_scores_is_made_and_rated_on_the_pages(root, client_of):
    from feedbackhub.catalog.content import text_parts
    from feedbackhub.catalog.models import Output
    from feedbackhub.catalog.services import model_get_or_create_imported, prompt_get_or_create
    from feedbackhub.rating.services import tasks_create

    browser = client_of(root)
    form = {"name": "Rubric", "slug": "rubric", "task_kind": "scores", "judgments_per_task": 1}
    assert "at least one criterion" in browser.post("/projects/new/", form).content.decode()
    wrong = browser.post("/projects/new/", {**form, "criteria": "truth"}).content.decode()
    assert "line 1: write key" in wrong
    browser.post("/projects/new/", {**form, "criteria": criteria_written([TRUTH])})
    project = Project.objects.get(slug="rubric")
    assert project.criteria == [TRUTH]
    prompt, _ = prompt_get_or_create(project=project, prompt="Why?")
    model = model_get_or_create_imported(project=project, name="red")
    Output.objects.create(prompt=prompt, model=model, parts=text_parts("Because."), content_key="1")
    tasks_create(project=project, models=[model])
    page = browser.get("/p/rubric/rate/").content.decode()
    assert 'title="all wrong"' in page
    assert "<strong>5</strong> all right" in page
    assert "truth | Truth | 1 to 5 | 1: all wrong; 5: all right" in browser.get("/p/rubric/settings/").content.decode()
