"""manage.py demo_outputs has the model answer the demo's prompts anew, through run directories."""

import json

import pytest
from django.core.management import CommandError, call_command


@pytest.fixture
def folder(stand_in, weights, tmp_path):
    """Two prompts and two contenders, answered by the stand-in trainer."""
    stand_in.FEEDBACKHUB_HOME = tmp_path
    stand_in.EMBEDDED_MODEL_DIR = weights
    folder = tmp_path / "demo"
    folder.mkdir()
    prompts = [{"id": name, "prompt": f"Say {name}", "category": "questions"} for name in ("one", "two")]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    contenders = [{"name": name, "description": name, "decoding": {"seed": 7}} for name in ("red", "blue")]
    (folder / "contenders.json").write_text(json.dumps(contenders))
    return folder


def _rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "outputs.jsonl").open()]


def test_every_contender_answers_every_prompt(folder, tmp_path):
    call_command("demo_outputs", folder=folder)
    rows = _rows(folder)
    assert [row["id"] for row in rows] == ["one", "two"]
    assert [[output["model"] for output in row["outputs"]] for row in rows] == [["red", "blue"]] * 2
    assert {output["text"] for output in rows[0]["outputs"]} == {"eno yaS 0"}
    assert rows[0]["outputs"][0]["seed"] == 7
    assert rows[0]["prompt"] == "Say one"
    assert not (tmp_path / "demo-outputs").exists()


def test_a_failure_is_told_and_the_next_call_goes_on(folder, tmp_path):
    prompts = folder / "prompts.jsonl"
    prompts.write_text(prompts.read_text().replace("Say two", "Say two [once]"))
    with pytest.raises(CommandError, match="red: The model does not fit into memory"):
        call_command("demo_outputs", folder=folder)
    assert not (folder / "outputs.jsonl").exists()
    begun = tmp_path / "demo-outputs" / "red" / "outputs.jsonl"
    assert len(begun.read_text().splitlines()) == 1
    with pytest.raises(CommandError, match="blue"):
        call_command("demo_outputs", folder=folder)
    assert len(begun.read_text().splitlines()) == 2
    call_command("demo_outputs", folder=folder)
    assert len(_rows(folder)) == 2


def test_without_the_base_model_it_says_how_to_get_it(folder, settings, tmp_path):
    settings.EMBEDDED_MODEL_DIR = tmp_path / "nowhere"
    with pytest.raises(CommandError, match="python -m training fetch-base"):
        call_command("demo_outputs", folder=folder)
