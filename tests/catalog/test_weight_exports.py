"""Merged weights and a GGUF file of what was tuned here: made once, by one who may, had as a download, removed."""

import io
import threading
import zipfile
from pathlib import Path

import pytest
from django.db import connection
from django.urls import reverse

from feedbackhub.catalog import weight_exports
from feedbackhub.catalog.models import ModelVersion, WeightExport
from feedbackhub.catalog.services import model_create
from feedbackhub.core.errors import DomainError
from feedbackhub.runs.models import Run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tuned_of(project, stand_in, queue, base_folder, adapter_folder):
    """tuned_of(name, folder=…): a model version with an adapter that a run here has left."""

    def create(name: str = "demo+sft-r1", folder: str = "adapter", **given) -> ModelVersion:
        place = Path(stand_in.RUNS_DIR) / "000900"
        place.mkdir(parents=True, exist_ok=True)
        base = stand_in.RUNS_DIR.parent / "base"
        base = base if base.exists() else base_folder()
        adapter = adapter_folder(str(place / folder))
        given = {"kind": "local", "base": str(base), "adapter": str(adapter), **given}
        return ModelVersion.objects.create(project=project, name=name, **given)

    return create


@pytest.fixture
def whole(project, tuned_of, base_folder, stand_in) -> ModelVersion:
    """One that was tuned as a whole."""
    stand_in.RUNS_DIR.mkdir(exist_ok=True)
    folder = base_folder(str(stand_in.RUNS_DIR / "model"))
    return ModelVersion.objects.create(project=project, name="whole", kind="local", base=str(folder))


def page_of(browser, model, **headers) -> str:
    return browser.get(reverse("catalog:model", args=["kitchen", model.pk]), **headers).content.decode()


def test_from_the_page_it_is_made_watched_had_and_removed(client_of, alice, tuned_of, queue):
    model, browser = tuned_of(), client_of(alice)
    page = page_of(browser, model)
    assert "Make merged weights" in page
    assert "Make a GGUF file" in page
    assert "python -m training" not in page
    assert "hx-get" not in page
    for format in ("merged", "gguf"):
        answer = browser.post(reverse("catalog:export_make", args=["kitchen", model.pk, format]))
        assert answer.url == reverse("catalog:model", args=["kitchen", model.pk]) + "#weights-title"
    part = reverse("catalog:exports", args=["kitchen", model.pk])
    assert f'hx-get="{part}"' in page_of(browser, model)
    assert "It waits for the runs before it." in page_of(browser, model)
    queue()
    page = browser.get(part, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page
    assert "hx-get" not in page
    assert "5e5e5e" in page
    merged, gguf = (WeightExport.objects.get(format=format) for format in ("merged", "gguf"))
    assert merged.run.spec["base"] == {"path": model.base, "adapter": model.adapter}
    addresses = [reverse("catalog:export_file", args=["kitchen", export.pk]) for export in (merged, gguf)]
    assert all(address in page for address in addresses)
    answer = browser.get(addresses[0])
    assert answer["Content-Disposition"] == 'attachment; filename="demo-sft-r1-merged.zip"'
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert archive.read("demo-sft-r1-merged/model.safetensors") == b"some weights"
    assert archive.read("demo-sft-r1-merged/README.md") == b"# Merged\n"
    answer = browser.get(addresses[1])
    assert answer["Content-Disposition"] == 'attachment; filename="demo-sft-r1.gguf"'
    assert answer["Content-Length"] == "12"
    assert b"".join(answer.streaming_content) == b"some weights"
    directory = gguf.run.directory
    browser.post(reverse("catalog:export_action", args=["kitchen", gguf.pk, "remove"]))
    assert not directory.exists()
    assert not Run.objects.filter(pk=gguf.run_id).exists()
    assert browser.get(addresses[1]).status_code == 404
    page = page_of(browser, model)
    assert "Make a GGUF file" in page
    assert "Make merged weights" not in page


def test_a_failure_is_told_in_words_and_tried_again(client_of, alice, tuned_of, queue):
    model, browser = tuned_of(folder="unwritable"), client_of(alice)
    make = reverse("catalog:export_make", args=["kitchen", model.pk, "gguf"])
    browser.post(make)
    queue()
    page = page_of(browser, model)
    assert "set LLAMA_CPP to llama.cpp" in page
    assert "Try again" in page
    browser.post(make)
    queue()
    assert "Download the GGUF file" in page_of(browser, model)
    assert WeightExport.objects.count() == 1


def test_stopped_it_can_be_made_anew_or_removed(client_of, alice, project, tuned_of, queue):
    model, browser = tuned_of(), client_of(alice)
    export = weight_exports.export_make(project=project, model=model, format="gguf", by=alice)
    with pytest.raises(DomainError, match="stop it first"):
        weight_exports.export_remove(export=export)
    assert (
        "stop it first"
        in browser.post(
            reverse("catalog:export_action", args=["kitchen", export.pk, "remove"]), follow=True
        ).content.decode()
    )
    browser.post(reverse("catalog:export_action", args=["kitchen", export.pk, "stop"]))
    queue()
    export.run.refresh_from_db()
    assert export.run.state == "stopped"
    assert "Try again" in page_of(browser, model)
    export = weight_exports.export_get(project=project, pk=export.pk)
    weight_exports.export_remove(export=export)
    assert not WeightExport.objects.exists()


def test_one_at_a_time_is_made_of_a_model_and_format(project, tuned_of, queue):
    model, outcomes = tuned_of(), []

    def ask() -> None:
        try:
            weight_exports.export_make(project=project, model=model, format="gguf")
            outcomes.append("made")
        except DomainError as error:
            outcomes.append(error.status)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [409, 409, "made"]
    queue()
    with pytest.raises(DomainError, match="made already"):
        weight_exports.export_make(project=project, model=model, format="gguf")
    weight_exports.export_make(project=project, model=model, format="merged")


def test_by_the_api(api_of, alice, tuned_of, queue, project):
    model, api = tuned_of(), api_of(alice)
    tuned_of("other", folder="adapter2")
    address = "/api/v1/projects/kitchen/models/exports/"
    answer = api.post(address, {"model": model.name, "format": "merged"}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    one = f"{address}{answer.json()['id']}/"
    assert api.get(f"{one}file/").json()["code"] == "not_found"
    assert api.post(address, {"model": model.name, "format": "merged"}, format="json").status_code == 409
    queue()
    shown = api.get(one).json()
    assert (shown["state"], shown["bytes"], shown["sha256"], shown["error"]) == ("completed", 12, "5e" * 32, None)
    assert [row["id"] for row in api.get(address, {"model": model.name}).json()["results"]] == [shown["id"]]
    assert api.get(address, {"model": "other"}).json()["results"] == []
    answer = api.get(f"{one}file/")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert api.post(f"{one}stop/").status_code == 409
    assert api.delete(one).status_code == 204
    assert api.get(one).status_code == 404
    answer = api.post(address, {"model": model.name, "format": "onnx"}, format="json")
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["format"])


def test_what_cannot_be_made_is_refused_and_not_offered(client_of, alice, project, tuned_of, whole, weights):
    elsewhere = model_create(project=project, name="elsewhere", kind="local", base=str(weights))
    judge = tuned_of("judge", folder="judge", role="reward")
    for model, format, words in [
        (whole, "merged", "are whole already"),
        (elsewhere, "gguf", "was not tuned here"),
        (judge, "merged", "is a reward model"),
        (whole, "onnx", "none of merged, gguf"),
    ]:
        with pytest.raises(DomainError, match=words):
            weight_exports.export_make(project=project, model=model, format=format)
    browser = client_of(alice)
    page = page_of(browser, whole)
    assert "Make a GGUF file" in page
    assert "Make merged weights" not in page
    for model in (elsewhere, judge):
        assert "Make a" not in page_of(browser, model)
    assert not WeightExport.objects.exists()


def test_files_that_a_model_is_registered_from_stay(project, tuned_of, queue):
    export = weight_exports.export_make(project=project, model=tuned_of(), format="merged")
    queue()
    export = weight_exports.export_get(project=project, pk=export.pk)
    path = weight_exports.export_path(export)
    ModelVersion.objects.create(project=project, name="mine", kind="local", base=str(path))
    with pytest.raises(DomainError, match='"mine" is registered from these files'):
        weight_exports.export_remove(export=export)
    assert path.is_dir()


def test_only_an_admin_of_the_project(client_of, api_of, bob, dave, eve, project, tuned_of, queue):
    model = tuned_of()
    export = weight_exports.export_make(project=project, model=model, format="gguf")
    queue()
    for person, status in [(bob, 403), (dave, 403), (eve, 404)]:
        browser = client_of(person)
        for name, args in [("export_make", [model.pk, "merged"]), ("export_action", [export.pk, "remove"])]:
            assert browser.post(reverse(f"catalog:{name}", args=["kitchen", *args])).status_code == status
        assert browser.get(reverse("catalog:export_file", args=["kitchen", export.pk])).status_code == status
    api = api_of(bob)
    address = "/api/v1/projects/kitchen/models/exports/"
    assert api.get(address).status_code == 403
    assert api.post(address, {"model": model.name, "format": "gguf"}, format="json").status_code == 403
    for method, end in [(api.get, ""), (api.delete, ""), (api.post, "stop/"), (api.get, "file/")]:
        assert method(f"{address}{export.pk}/{end}").status_code == 403
    assert WeightExport.objects.count() == 1
