"""bin/messages.py: what it gathers, and which translations it does not let pass."""

import importlib.util
from pathlib import Path

import pytest
from babel.messages import Message

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("messages_tool", ROOT / "bin" / "messages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("original", "translation", "flags", "fault"),
    [
        ("Saved.", "", (), "has no translation"),
        ("Saved.", "Gespeichert.", ("fuzzy",), "unsure"),
        ("%(n)s left", "noch %(m)s", (), "other placeholders: %(m)s, %(n)s"),
        ("%(n)s left", "noch einige", (), "other placeholders: %(n)s"),
        (("%(n)s task", "%(n)s tasks"), ("eine Aufgabe", "viele Aufgaben"), (), "other placeholders"),
        ("The group “a”", 'Die Gruppe "a"', (), "straight quotes"),
        ("Left out: ", "Ausgelassen:", (), "another space"),
    ],
)
def test_a_translation_that_will_not_do_is_named(tool, original, translation, flags, fault):
    found = list(tool.faults_of(Message(original, translation, flags=flags)))
    assert len(found) == 1
    assert fault in found[0]


def test_one_thing_may_be_said_in_words(tool):
    assert not list(tool.faults_of(Message(("%(n)s task", "%(n)s tasks"), ("eine Aufgabe", "%(n)s Aufgaben"))))


def test_texts_are_gathered_from_python_templates_scripts_and_the_settings_of_rounds(tool):
    found = tool.gathered()
    pages, scripts = found["django"], found["djangojs"]
    for text in ("Pairwise comparison", "Skip to the content", "with 95 %% intervals", "Rank of the adapter.", "rater"):
        assert text in pages, text
    assert pages["%(count)s task waiting"].pluralizable
    for text in ("Keys on this page", "95 %: %(lower)s to %(upper)s"):
        assert text in scripts, text


def test_what_is_compiled_is_what_is_written(tool):
    for language in tool.languages():
        for domain in ("django", "djangojs"):
            path = tool._path(language, domain)
            assert path.with_suffix(".mo").read_bytes() == tool.compiled(tool._read(path, language))
