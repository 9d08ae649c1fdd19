"""bin/check_templates.py finds what the Content-Security-Policy would refuse; our templates have none of it."""

import subprocess
import sys

import pytest
from supervised import ROOT


def _check(folder) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "bin" / "check_templates.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ("<p>\n<script>let a = 1</script>", "2: a <script> without src"),
        ("<style>p { color: red }</style>", "1: a <style> element"),
        ("<button type='button' onclick='go()'>", "1: an event handler in <button>"),
        ('<p class="{% if a %}x{% endif %}" style="top: 0">', "1: a style attribute in <p>"),
        ('<a href="javascript:go()">', "1: a javascript: address in <a>"),
        ("{# one\ntwo #}\n<style>", "3: a <style> element"),
    ],
)
def test_it_is_found(tmp_path, html, problem):
    (tmp_path / "page.html").write_text(html)
    code, said = _check(tmp_path)
    assert code == 1
    assert f"page.html:{problem}" in said


@pytest.mark.parametrize(
    "html",
    [
        '<script type="module" src="{% static \'js/app.js\' %}"></script>',
        '<p data-style="x" title="a style = b">',
        "{{ data|json_script:'rows' }}",
        "<!-- <style> is not used here --> {% comment %}<script>{% endcomment %}",
        '<button type="button" aria-label="once = 1">',
    ],
)
def test_what_is_fine_is_not(tmp_path, html):
    (tmp_path / "page.html").write_text(html)
    assert _check(tmp_path) == (0, "")


def test_our_templates_hold():
    assert _check(ROOT / "templates") == (0, "")
