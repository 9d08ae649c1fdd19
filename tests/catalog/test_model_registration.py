"""Model versions are registered after a look at what they name, and are fixed once they have outputs."""

import json

import pytest

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.selectors import models_of
from feedbackhub.catalog.services import (
    ImportedOutput,
    embedded_model,
    model_by_name,
    model_create,
    model_get_or_create_imported,
    model_update,
    outputs_bulk_create,
    prompt_get_or_create,
)
from feedbackhub.core.errors import DomainError, NotFound

pytestmark = pytest.mark.django_db


def refused(field: str, status: int = 400, **arguments) -> str:
    before = ModelVersion.objects.exclude(project=None).count()
    with pytest.raises(DomainError) as error:
        model_create(**arguments)
    assert error.value.status == status
    assert list(error.value.fields) == [field]
    assert ModelVersion.objects.exclude(project=None).count() == before
    return error.value.message


# --- Local: base and adapter ------------------------------------------------------------------------------------


def test_a_local_model_is_a_folder_with_config_and_weights(project, base_folder):
    folder = base_folder()
    model = model_create(project=project, name=" tiny ", kind="local", base=str(folder), decoding={"temperature": 0})
    assert (model.name, model.base, model.decoding, model.generates) == ("tiny", str(folder), {"temperature": 0}, True)


def test_the_base_may_be_named_by_a_local_model(project, base_folder):
    tiny = model_create(project=project, name="tiny", kind="local", base=str(base_folder()))
    brief = model_create(project=project, name="brief", kind="local", base="tiny", decoding={"system": "Be brief."})
    assert brief.base == tiny.base
    assert brief.parent is None


def test_an_adapter_on_a_named_model_makes_that_model_the_parent(project, base_folder, adapter_folder):
    tiny = model_create(project=project, name="tiny", kind="local", base=str(base_folder()))
    adapter = adapter_folder()
    tuned = model_create(project=project, name="tuned", kind="local", base="tiny", adapter=str(adapter))
    assert (tuned.parent, tuned.adapter) == (tiny, str(adapter))


def test_a_base_with_an_adapter_of_its_own_takes_no_second_one(project, base_folder, adapter_folder):
    adapter = str(adapter_folder())
    model_create(project=project, name="tuned", kind="local", base=str(base_folder()), adapter=adapter)
    message = refused("base", project=project, name="twice", kind="local", base="tuned", adapter=adapter)
    assert "at most one" in message


def test_the_embedded_base_is_known_by_name_and_told_when_its_folder_is_missing(project, settings, tmp_path):
    settings.EMBEDDED_MODEL_DIR = tmp_path / "nothing"
    message = refused("base", project=project, name="copy", kind="local", base="smollm2-135m")
    assert str(tmp_path / "nothing") in message


def test_a_base_that_does_not_exist(project):
    message = refused("base", project=project, name="x", kind="local", base="/no/such/folder")
    assert '"/no/such/folder" is neither a folder on this machine nor one of the local models' in message


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", "{", "cannot be read as JSON"),
        ("model.safetensors", None, "has no *.safetensors"),
        ("model.safetensors", "not a header", "is not a readable safetensors file"),
    ],
)
def test_a_folder_that_is_no_model(project, base_folder, file, content, problem):
    folder = base_folder()
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    assert problem in refused("base", project=project, name="x", kind="local", base=str(folder))


def test_an_adapter_for_another_base_is_refused_by_its_shapes(project, base_folder, adapter_folder):
    adapter = adapter_folder(width=16)
    message = refused("adapter", project=project, name="x", kind="local", base=str(base_folder()), adapter=str(adapter))
    assert "made for another base" in message
    assert "has 16 inputs" in message
    assert "has 8" in message


def test_an_adapter_with_a_layer_that_the_base_lacks_is_refused(project, base_folder, adapter_folder):
    extra = {"base_model.model.model.layers.7.mlp.up_proj.lora_A.weight": [2, 8]}
    message = refused(
        "adapter",
        project=project,
        name="x",
        kind="local",
        base=str(base_folder()),
        adapter=str(adapter_folder(extra=extra)),
    )
    assert "model.layers.7.mlp.up_proj, which the base" in message


def test_an_adapter_on_tied_output_and_embedding_fits(project, base_folder, adapter_folder):
    extra = {
        "base_model.model.lm_head.lora_A.weight": [2, 8],
        "base_model.model.lm_head.lora_B.weight": [32, 2],
        "base_model.model.model.embed_tokens.lora_embedding_A": [2, 32],
        "base_model.model.model.embed_tokens.lora_embedding_B": [8, 2],
        "base_model.model.score.weight": [1, 8],
    }
    adapter = adapter_folder(extra=extra)
    assert model_create(project=project, name="x", kind="local", base=str(base_folder()), adapter=str(adapter)).pk


def test_an_adapter_trained_on_other_weights_of_the_same_shape_is_refused(project, base_folder, adapter_folder):
    here, other = base_folder("here"), base_folder("other", fill=1)
    adapter = adapter_folder(base_model_name_or_path=str(other))
    message = refused("adapter", project=project, name="x", kind="local", base=str(here), adapter=str(adapter))
    assert f"was trained on {other}" in message


def test_an_adapter_trained_on_a_copy_of_the_base_is_taken(project, base_folder, adapter_folder):
    here, copy = base_folder("here"), base_folder("copy")
    for number, origin in enumerate((str(copy), str(here), "/gone/since", "someone/tiny", "", None)):
        adapter = adapter_folder(f"adapter{number}", base_model_name_or_path=origin)
        assert model_create(project=project, name=f"x{number}", kind="local", base=str(here), adapter=str(adapter)).pk


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_that_is_no_adapter(project, base_folder, adapter_folder, file):
    adapter = adapter_folder()
    (adapter / file).unlink()
    message = refused("adapter", project=project, name="x", kind="local", base=str(base_folder()), adapter=str(adapter))
    assert f"has no {file}" in message


def test_sharded_weights_are_looked_at_together(project, base_folder, adapter_folder):
    folder = base_folder(shards=2)
    assert len(list(folder.glob("*.safetensors"))) == 2
    adapter = adapter_folder()
    assert model_create(project=project, name="x", kind="local", base=str(folder), adapter=str(adapter)).pk


# --- Hub, openai, imported ---------------------------------------------------------------------------------------


def test_a_hub_model_is_an_id(project, adapter_folder):
    adapter = str(adapter_folder(base_model_name_or_path="org/tiny"))
    assert model_create(project=project, name="x", kind="hub", base="org/Tiny", adapter=adapter).base == "org/Tiny"
    message = refused("adapter", project=project, name="y", kind="hub", base="org/large", adapter=adapter)
    assert "was trained on org/tiny, not on org/large" in message


@pytest.mark.parametrize("base", ["", "tiny", "org/tiny/x", "org/ tiny", "../tiny", "https://hub/org/tiny"])
def test_what_is_no_hub_id(project, base):
    assert "is not a hub id like org/name" in refused("base", project=project, name="x", kind="hub", base=base)


def test_an_endpoint_is_a_url_and_the_models_name_there(project):
    model = model_create(project=project, name="x", kind="openai", base="gpt-x", endpoint="http://localhost:8000/v1")
    assert not model.generates
    refused("endpoint", project=project, name="y", kind="openai", base="gpt-x")
    refused("endpoint", project=project, name="y", kind="openai", base="gpt-x", endpoint="localhost")
    refused("base", project=project, name="y", kind="openai", endpoint="http://localhost:8000/v1")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"kind": "imported", "base": "x"}, "base"),
        ({"kind": "imported", "adapter": "x"}, "adapter"),
        ({"kind": "imported", "decoding": {"seed": 1}}, "decoding"),
        ({"kind": "hub", "base": "org/x", "endpoint": "http://x.example"}, "endpoint"),
        ({"kind": "openai", "base": "x", "endpoint": "http://x.example", "adapter": "y"}, "adapter"),
        ({"kind": "folder"}, "kind"),
        ({"kind": "imported", "role": "judge"}, "role"),
        ({"kind": "imported", "name": " "}, "name"),
        ({"kind": "imported", "name": "x" * 121}, "name"),
    ],
)
def test_what_does_not_belong_to_a_kind_is_refused_by_field(project, arguments, field):
    refused(field, **{"project": project, "name": "x", **arguments})


DECODING = [
    ({"temprature": 1}, 'decoding has no "temprature"; there are system, temperature, top_p'),
    ({"temperature": -1}, "temperature must be a number from 0 to 5; it is -1"),
    ({"temperature": "hot"}, "temperature must be a number"),
    ({"temperature": True}, "temperature must be a number"),
    ({"temperature": float("nan")}, "temperature must be a number"),
    ({"top_p": 0}, "top_p must be a number above 0 to 1"),
    ({"max_new_tokens": 1.5}, "max_new_tokens must be a whole number from 1"),
    ({"system": 5}, "system must be a text"),
    ([1], "decoding must be an object"),
]


@pytest.mark.parametrize(("decoding", "problem"), DECODING)
def test_an_unknown_decoding_setting_or_value_is_named(project, decoding, problem):
    message = refused("decoding", project=project, name="x", kind="hub", base="org/x", decoding=decoding)
    assert problem in message


# --- Names, and what is fixed ------------------------------------------------------------------------------------


def test_a_name_is_taken_once_in_a_project_and_by_the_site(project, root):
    from feedbackhub.projects.services import project_create

    model_create(project=project, name="x", kind="imported")
    refused("name", status=409, project=project, name="x", kind="imported")
    refused("name", status=409, project=project, name="smollm2-135m", kind="imported")
    other = project_create(by=root, slug="garden", name="Garden")
    assert model_create(project=other, name="x", kind="imported").pk


def test_every_project_lists_the_embedded_base(project, settings, tmp_path):
    assert [model.name for model in models_of(project)] == ["smollm2-135m"]
    assert (embedded_model().kind, embedded_model().base) == ("local", str(settings.EMBEDDED_MODEL_DIR))
    settings.EMBEDDED_MODEL_DIR = tmp_path / "moved"
    assert embedded_model().base == str(tmp_path / "moved")
    assert ModelVersion.objects.count() == 1


def test_a_model_is_found_by_name_and_a_missing_one_told_with_those_there_are(project):
    model_create(project=project, name="x", kind="imported")
    assert model_by_name(project=project, name="x").kind == "imported"
    assert model_by_name(project=project, name="smollm2-135m") == embedded_model()
    with pytest.raises(NotFound, match='no model "y" in this project; there are: smollm2-135m, x'):
        model_by_name(project=project, name="y")


def test_a_model_of_another_project_is_not_found(project, root):
    from feedbackhub.projects.services import project_create

    other = project_create(by=root, slug="garden", name="Garden")
    parent = model_create(project=other, name="x", kind="imported")
    with pytest.raises(NotFound):
        model_by_name(project=project, name="x")
    refused("parent", project=project, name="y", kind="imported", parent=parent)


def test_imported_names_find_any_model_of_that_name(project):
    mine = model_create(project=project, name="x", kind="hub", base="org/x")
    assert model_get_or_create_imported(project=project, name="x") == mine
    new = model_get_or_create_imported(project=project, name="y")
    assert (new.kind, new.project) == ("imported", project)
    assert model_get_or_create_imported(project=project, name="y") == new


def test_a_model_without_outputs_may_change_and_one_with_outputs_may_not(project, base_folder):
    model = model_create(project=project, name="x", kind="local", base=str(base_folder()), decoding={"seed": 1})
    model = model_update(model=model, name="z", decoding={"seed": 2})
    model.refresh_from_db()
    assert (model.name, model.decoding) == ("z", {"seed": 2})
    prompt, _ = prompt_get_or_create(project=project, prompt="Why?")
    outputs_bulk_create(rows=[ImportedOutput(prompt, model, "So.")])
    with pytest.raises(DomainError, match="has outputs, so it does not change any more") as error:
        model_update(model=model, decoding={"seed": 3})
    assert error.value.status == 409
    model.refresh_from_db()
    assert model.decoding == {"seed": 2}


def test_a_change_is_checked_like_a_registration(project, base_folder):
    model = model_create(project=project, name="x", kind="local", base=str(base_folder()))
    with pytest.raises(DomainError, match="neither a folder"):
        model_update(model=model, base="/no/such/folder")
    with pytest.raises(DomainError, match="already"):
        model_update(model=model, name="smollm2-135m")
    with pytest.raises(DomainError, match='no "kind" to change'):
        model_update(model=model, kind="hub")
    with pytest.raises(DomainError, match="belongs to the whole site"):
        model_update(model=embedded_model(), name="y")


def test_an_adapter_config_that_is_no_object(project, base_folder, adapter_folder):
    adapter = adapter_folder()
    (adapter / "adapter_config.json").write_text(json.dumps([]))
    message = refused("adapter", project=project, name="x", kind="local", base=str(base_folder()), adapter=str(adapter))
    assert "does not hold an object" in message
