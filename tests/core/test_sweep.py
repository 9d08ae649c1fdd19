"""manage.py sweep calls every room's sweep, whatever becomes of one of them."""

import pytest
from django.core.management import call_command
from django.utils.module_loading import import_string

from feedbackhub.core.management.commands.sweep import sweep_all

calls = []


def good() -> None:
    calls.append("good")


def bad() -> None:
    calls.append("bad")
    raise RuntimeError("a broken row")


@pytest.fixture(autouse=True)
def fresh():
    calls.clear()


def test_a_sweep_that_fails_keeps_no_other_from_its_turn(caplog):
    assert sweep_all(["test_sweep.bad", "test_sweep.good"]) == ["test_sweep.bad"]
    assert calls == ["bad", "good"]
    assert "test_sweep.bad failed" in caplog.text
    assert "a broken row" in caplog.text


@pytest.mark.parametrize(("sweeps", "code"), [(["good"], 0), (["bad", "good"], 1)])
def test_once_is_one_round(settings, sweeps, code):
    settings.SWEEPS = [f"test_sweep.{name}" for name in sweeps]
    with pytest.raises(SystemExit) as ended:
        call_command("sweep", "--once")
    assert ended.value.code == code
    assert calls == sweeps


@pytest.mark.django_db(transaction=True)
def test_every_room_that_is_named_can_be_swept(settings, queue):
    assert all(callable(import_string(name)) for name in settings.SWEEPS)
    assert sweep_all(settings.SWEEPS) == []
