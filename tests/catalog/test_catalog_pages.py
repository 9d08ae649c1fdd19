import pytest
from django.urls import reverse

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.services import (
    ImportedOutput,
    embedded_model,
    model_create,
    outputs_bulk_create,
    prompt_get_or_create,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def egg(project):
    prompt, _ = prompt_get_or_create(
        project=project,
        messages=[{"role": "system", "content": "You <cook>."}, {"role": "user", "content": "Boil an egg?"}],
        references=["Eight minutes."],
        category="kitchen",
        split="test",
    )
    return prompt


@pytest.fixture
def answered(project, egg):
    models = [model_create(project=project, name=name, kind="imported") for name in ("small", "large")]
    rows = [ImportedOutput(egg, model, f"{model.name} says <b>ten</b>.") for model in models]
    return outputs_bulk_create(rows=[*rows, ImportedOutput(egg, None, "Nobody's answer.")])[0]


def html(response) -> str:
    assert response.status_code == 200
    return response.content.decode()


PAGES = ["catalog:prompts", "catalog:models", "catalog:model_new"]


@pytest.mark.parametrize("name", PAGES)
def test_only_admins_see_them(project, alice, bob, dave, eve, client, client_of, name):
    url = reverse(name, args=[project.slug])
    assert client_of(alice).get(url).status_code == 200
    assert [client_of(user).get(url).status_code for user in (bob, dave, eve)] == [403, 403, 404]
    assert client.get(url).status_code == 302


def test_a_project_without_prompts_says_what_to_do_next(project, alice, client_of):
    page = html(client_of(alice).get(reverse("catalog:prompts", args=[project.slug])))
    assert "There are no prompts yet." in page
    assert reverse("imports:list", args=[project.slug]) + "?kind=prompts" in page


def test_prompts_are_listed_and_filtered(project, alice, client_of, egg):
    prompt_get_or_create(project=project, prompt="Peel a pear", split="train")
    browser, url = client_of(alice), reverse("catalog:prompts", args=[project.slug])
    page = html(browser.get(url))
    assert "Boil an egg?" in page
    assert "Peel a pear" in page
    for query, found in [
        ({"q": "egg"}, True),
        ({"q": "pear"}, False),
        ({"split": "test"}, True),
        ({"split": "train"}, False),
        ({"category": "=kitchen"}, True),
        ({"category": "="}, False),
    ]:
        assert ("Boil an egg?" in html(browser.get(url, query))) is found, query
    assert "No prompt fits." in html(browser.get(url, {"q": "aubergine"}))


def test_htmx_takes_the_results_only(project, alice, client_of, egg):
    url = reverse("catalog:prompts", args=[project.slug])
    part = html(client_of(alice).get(url, {"q": "egg"}, headers={"HX-Request": "true"}))
    assert "Boil an egg?" in part
    assert "<html" not in part


def test_many_prompts_come_in_pages(project, alice, client_of):
    from feedbackhub.catalog.content import messages_of
    from feedbackhub.catalog.services import PromptRow, prompts_bulk_get_or_create

    prompts_bulk_get_or_create(project=project, rows=[PromptRow(messages_of(f"prompt number {n}")) for n in range(120)])
    page = html(client_of(alice).get(reverse("catalog:prompts", args=[project.slug]), {"page": 3, "q": "number"}))
    assert "prompt number 119" in page
    assert "prompt number 99<" not in page
    assert "101–120 of 120" in page
    assert "?page=2&amp;q=number" in page or "?q=number&amp;page=2" in page or "page=2" in page


def test_a_prompt_with_its_outputs_side_by_side(project, alice, client_of, egg, answered):
    page = html(client_of(alice).get(reverse("catalog:prompt", args=[project.slug, egg.pk])))
    for text in ("You &lt;cook&gt;.", "Boil an egg?", "Eight minutes.", "small says &lt;b&gt;ten&lt;/b&gt;.", "large"):
        assert text in page
    assert "Unnamed model" in page
    assert "Test" in page


def test_a_prompt_of_another_project_is_not_there(project, root, alice, client_of):
    from feedbackhub.projects.services import project_create

    other = project_create(by=root, slug="garden", name="Garden")
    theirs, _ = prompt_get_or_create(project=other, prompt="Why?")
    assert client_of(alice).get(reverse("catalog:prompt", args=[project.slug, theirs.pk])).status_code == 404
    model = model_create(project=other, name="x", kind="imported")
    assert client_of(alice).get(reverse("catalog:model", args=[project.slug, model.pk])).status_code == 404


def test_a_prompt_nobody_answered_says_what_to_do_next(project, alice, client_of, egg):
    page = html(client_of(alice).get(reverse("catalog:prompt", args=[project.slug, egg.pk])))
    assert "Nobody has answered this prompt yet." in page


def test_models_are_listed_with_the_embedded_base(project, alice, client_of, answered):
    page = html(client_of(alice).get(reverse("catalog:models", args=[project.slug])))
    for text in ("smollm2-135m", "site-wide", "small", "large", "imported"):
        assert text in page


def test_a_model_is_registered_by_the_form(project, alice, client_of, base_folder):
    folder = base_folder()
    fields = {"name": "tiny", "kind": "local", "base": str(folder), "role": "policy", "decoding_temperature": "0.7"}
    answer = client_of(alice).post(reverse("catalog:model_new", args=[project.slug]), fields, follow=True)
    model = ModelVersion.objects.get(name="tiny")
    assert answer.redirect_chain[-1][0] == reverse("catalog:model", args=[project.slug, model.pk])
    assert (model.base, model.decoding) == (str(folder), {"temperature": 0.7})
    assert "tiny is registered." in html(answer)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"base": "/no/such/folder"}, "is neither a folder on this machine nor one of the local models"),
        ({"name": "smollm2-135m"}, "There is a model &quot;smollm2-135m&quot; already"),
        ({"decoding_top_p": "2"}, "less than or equal to 1"),
        ({"kind": "openai", "base": "gpt-x", "endpoint": "nowhere"}, "Enter a valid URL"),
    ],
)
def test_what_cannot_be_registered_is_told_beside_its_field(project, alice, client_of, base_folder, fields, problem):
    given = {"name": "tiny", "kind": "local", "base": str(base_folder()), "role": "policy", **fields}
    answer = client_of(alice).post(reverse("catalog:model_new", args=[project.slug]), given)
    assert answer.status_code == 400
    assert problem in answer.content.decode()
    assert not ModelVersion.objects.filter(project=project).exists()


def test_a_models_page_tells_what_it_is_made_of(project, alice, client_of, answered):
    page = html(client_of(alice).get(reverse("catalog:model", args=[project.slug, answered[0].model_id])))
    assert "small says &lt;b&gt;ten&lt;/b&gt;." in page
    embedded = html(client_of(alice).get(reverse("catalog:model", args=[project.slug, embedded_model().pk])))
    assert "It has no outputs in this project yet." in embedded
    assert "greedy, 256 tokens" in embedded


def test_outputs_in_other_projects_are_not_shown(project, root, alice, client_of):
    from feedbackhub.projects.services import project_create

    other = project_create(by=root, slug="garden", name="Garden")
    prompt, _ = prompt_get_or_create(project=other, prompt="Why?")
    outputs_bulk_create(rows=[ImportedOutput(prompt, embedded_model(), "A secret of the garden.")])
    page = html(client_of(alice).get(reverse("catalog:model", args=[project.slug, embedded_model().pk])))
    assert "A secret of the garden." not in page
    assert "It has no outputs in this project yet." in page
