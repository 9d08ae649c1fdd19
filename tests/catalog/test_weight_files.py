"""What was tuned here can be taken away: the adapter or the model with its card, byte for byte, and nothing else."""

import io
import zipfile
from pathlib import Path

import pytest
from django.conf import settings as site
from django.urls import reverse

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.weight_files import AT_ONCE, weights_archive

pytestmark = pytest.mark.django_db


@pytest.fixture
def run_folder(settings, tmp_path):
    """A run's directory with an adapter as a training leaves it, larger than one chunk, and a file elsewhere."""
    settings.RUNS_DIR = tmp_path / "runs"
    folder = settings.RUNS_DIR / "000007" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)) * (AT_ONCE // 100))
    (folder / "README.md").write_text("# A card\n")
    (tmp_path / "secret").write_text("not for you")
    (folder / "link.json").symlink_to(tmp_path / "secret")
    return folder


@pytest.fixture
def tuned(project, run_folder):
    return ModelVersion.objects.create(
        project=project, name="demo: r/7 ü", kind="local", base="/models/base", adapter=str(run_folder)
    )


def address(project, model) -> str:
    return reverse("catalog:model_weights", args=[project.slug, model.pk])


def test_an_adapter_is_had_with_its_card_and_nothing_that_only_points_elsewhere(client_of, alice, project, tuned):
    client = client_of(alice)
    assert (
        address(project, tuned) in client.get(reverse("catalog:model", args=[project.slug, tuned.pk])).content.decode()
    )
    answer = client.get(address(project, tuned))
    assert answer["Content-Disposition"] == 'attachment; filename="demo-r-7.zip"'
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert archive.testzip() is None
    assert sorted(archive.namelist()) == ["demo-r-7/README.md", "demo-r-7/adapter_model.safetensors"]
    assert (
        archive.read("demo-r-7/adapter_model.safetensors")
        == (Path(tuned.adapter) / "adapter_model.safetensors").read_bytes()
    )


def test_it_comes_in_pieces(tuned):
    _, chunks = weights_archive(tuned)
    sizes = [len(chunk) for chunk in chunks]
    assert len(sizes) > 3
    assert 0 < min(sizes) <= max(sizes) < AT_ONCE + 10_000


def test_by_the_api_it_is_named_by_its_name(api_of, alice, project, tuned):
    answer = api_of(alice).get(f"/api/v1/projects/{project.slug}/models/weights/", {"model": tuned.name})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))).read("demo-r-7/README.md") == b"# A card\n"


@pytest.mark.parametrize("where", ["/etc", "{runs}/../elsewhere", "{runs}/000009/adapter", ""])
def test_weights_from_elsewhere_are_not_handed_out(client_of, alice, project, run_folder, where):
    (Path(site.RUNS_DIR).parent / "elsewhere").mkdir()
    folder = where.format(runs=site.RUNS_DIR)
    model = ModelVersion.objects.create(project=project, name="other", kind="local", base="/models/b", adapter=folder)
    client = client_of(alice)
    assert (
        address(project, model)
        not in client.get(reverse("catalog:model", args=[project.slug, model.pk])).content.decode()
    )
    answer = client.get(address(project, model))
    assert answer.status_code == 404
    assert "was not tuned here" in answer.content.decode()


def test_raters_get_no_weights(client_of, bob, project, tuned):
    assert client_of(bob).get(address(project, tuned)).status_code in (403, 404)
