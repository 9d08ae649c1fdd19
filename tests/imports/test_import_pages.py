import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from feedbackhub.catalog.models import Prompt
from feedbackhub.imports.models import Import
from feedbackhub.imports.services import import_run

pytestmark = pytest.mark.django_db


def html(response, status=200) -> str:
    assert response.status_code == status
    return response.content.decode()


def upload(content=b'{"question": "Why?"}\n', name="lines.jsonl", **fields) -> dict:
    return {"kind": "prompts", "file": SimpleUploadedFile(name, content), **fields}


def test_only_admins_import(project, alice, bob, dave, eve, client_of, imported):
    urls = [reverse("imports:list", args=[project.slug])]
    urls.append(reverse("imports:import", args=[project.slug, imported("prompts", [{"prompt": "x"}]).pk]))
    for url in urls:
        statuses = [client_of(user).get(url).status_code for user in (alice, bob, dave, eve)]
        assert statuses == [200, 403, 403, 404]
    assert client_of(bob).post(urls[0], upload()).status_code == 403
    assert Import.objects.count() == 1


def test_the_page_shows_an_example_of_every_kind_that_is_one(project, alice, client_of, imported):
    from feedbackhub.imports.examples import EXAMPLES

    page = html(client_of(alice).get(reverse("imports:list", args=[project.slug])))
    assert "Nothing is imported yet." in page
    for kind, example in EXAMPLES.items():
        assert example.replace('"', "&quot;") in page
        report = imported(kind, [example])
        assert (report.rejected_count, report.created[kind]) == (0, 2 if kind == "outputs" else 1)


def test_a_file_is_uploaded_and_its_report_followed(project, alice, client_of):
    browser = client_of(alice)
    fields = upload(b'{"question": "Why?"}\n{"question": " "}\n', map='{"prompt": "question"}')
    answer = browser.post(reverse("imports:list", args=[project.slug]), fields)
    report = Import.objects.get()
    assert answer.url == reverse("imports:import", args=[project.slug, report.pk])
    waiting = html(browser.get(answer.url))
    assert 'hx-trigger="every 1s"' in waiting
    import_run(report.pk)
    part = html(browser.get(answer.url, headers={"HX-Request": "true"}))
    assert "<html" not in part
    assert "every 1s" not in part
    assert "prompt (&quot;question&quot;) is empty" in part
    assert Prompt.objects.get().text == "Why?"
    assert "lines.jsonl" in html(browser.get(reverse("imports:list", args=[project.slug])))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "lines.xlsx"}, "is none of .jsonl, .jsonl.gz, .csv, .parquet"),
        ({"content": b""}, "The file is empty."),
        ({"map": "{"}, "Not JSON"),
        ({"map": '{"promt": "q"}'}, "prompts have no field"),
        ({"template": "{"}, "template:"),
        ({"kind": "songs"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_right_is_told_in_the_form(project, alice, client_of, fields, problem):
    given = upload(**{name: fields[name] for name in fields})
    page = html(client_of(alice).post(reverse("imports:list", args=[project.slug]), given), 400)
    assert problem in page
    assert not Import.objects.exists()


def test_a_failed_import_says_why(project, alice, client_of, imported):
    report = imported("prompts", b"PAR1....")
    page = html(client_of(alice).get(reverse("imports:import", args=[project.slug, report.pk])))
    assert "but it is a Parquet file" in page


def test_of_very_many_rejected_lines_the_first_thousand_are_shown(project, alice, client_of, imported):
    report = imported("prompts", ["no"] * 1100)
    page = html(client_of(alice).get(reverse("imports:import", args=[project.slug, report.pk])))
    assert "The first 1,000 of 1,100." in page
    assert page.count("not JSON") == 1000


def test_only_so_many_rejections_are_kept_and_all_are_counted(imported, monkeypatch):
    from feedbackhub.imports import services

    monkeypatch.setattr(services, "REJECTIONS_KEPT", 25)
    monkeypatch.setattr(services, "BATCH", 10)
    report = imported("prompts", ["no"] * 42)
    assert (report.rejected_count, report.rejections.count(), report.rejections.last().line) == (42, 25, 25)


def test_an_import_of_another_project_is_not_there(project, root, alice, client_of, imported):
    from feedbackhub.projects.services import project_create

    report = imported("prompts", [{"prompt": "x"}])
    other = project_create(by=root, slug="garden", name="Garden")
    assert client_of(root).get(reverse("imports:import", args=[other.slug, report.pk])).status_code == 404


# --- The command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"q": "Why?"}\nno\n')
    return path


def test_the_command_imports_and_prints_the_report(project, lines, capsys):
    call_command("import", project.slug, "prompts", str(lines), "--map", '{"prompt": "q"}')
    said = capsys.readouterr().out
    assert "2 lines read; created: 1 prompts; 1 lines rejected." in said
    assert "line 2: not JSON" in said
    assert Import.objects.get().created_by.username == "root"


def test_the_command_takes_a_template_and_another_user(project, alice, lines, capsys):
    call_command("import", project.slug, "prompts", str(lines), "--template", "Say: {q}", "--as", "alice")
    assert Prompt.objects.get().text == "Say: Why?"
    assert Import.objects.get().created_by == alice


def test_the_command_says_what_is_wrong(project, bob, lines, tmp_path):
    def said(*arguments) -> str:
        with pytest.raises(CommandError) as error:
            call_command("import", *map(str, arguments))
        return str(error.value)

    assert "is none of prompts, outputs, votes, preferences" in said(project.slug, "songs", lines)
    assert 'There is no project "nowhere"' in said("nowhere", "prompts", lines)
    assert "cannot be read: No such file" in said(project.slug, "prompts", tmp_path / "none.jsonl")
    assert "--map is not JSON" in said(project.slug, "prompts", lines, "--map", "{")
    assert 'There is no user "zoe"' in said(project.slug, "prompts", lines, "--as", "zoe")
    assert "needs the role admin" in said(project.slug, "prompts", lines, "--as", "bob")
    wrong = tmp_path / "wrong.parquet"
    wrong.write_text("{}")
    assert "The import failed: The file is named .parquet" in said(project.slug, "prompts", wrong)
