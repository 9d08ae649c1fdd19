"""A site of the test's own and a real browser in front of it."""

import os
import shutil
from pathlib import Path

import pytest
from live_site import ROOT, Site
from rating_cast import answers, chromium, judged, leased, page_of, said, tasks  # noqa: F401

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]


def base_model() -> Path:
    """The embedded base that `make test` has fetched."""
    folder = Path(os.environ.get("FEEDBACKHUB_TEST_BASE", ROOT / "var" / "models" / "smollm2-135m"))
    assert (folder / "config.json").exists(), (
        f"no embedded base model at {folder}: run `python -m training fetch-base {folder}`"
    )
    return folder


@pytest.fixture
def site(tmp_path):
    (tmp_path / "models").mkdir()
    shutil.copytree(base_model(), tmp_path / "models" / "smollm2-135m")
    running = Site(tmp_path)
    running.start()
    yield running
    running.stop()
    running.log.close()


@pytest.fixture
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()
