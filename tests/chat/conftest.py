import shutil

import pytest
from rating_cast import chromium  # noqa: F401

from feedbackhub.catalog.services import model_create


@pytest.fixture
def models(project, weights, stand_in, queue, tmp_path):
    """(parent, child): two models that stand-ins answer for, and whose process ends as soon as nothing is asked."""
    stand_in.CHAT_IDLE_SECONDS = 0
    shutil.copytree(weights, tmp_path / "child")
    folders = {"parent": weights, "child": tmp_path / "child"}
    return [model_create(project=project, name=name, kind="local", base=str(at)) for name, at in folders.items()]
