"""The colours of tokens.css: readable in both themes (WCAG 2.1), charts apart for every kind of colour vision."""

import itertools
import re

import numpy as np
import pytest
from supervised import ROOT

THEMES = ("light", "dark")
SURFACES = ("bg", "surface", "surface-sunken", "surface-raised", "surface-hover")
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def _tokens(theme: str) -> dict[str, str]:
    text = (ROOT / "static" / "css" / "tokens.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", text)
    return {name: (light, dark)[THEMES.index(theme)] for name, light, dark in pairs}


def _linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted(float(_linear(colour) @ (0.2126, 0.7152, 0.0722)) for colour in (one, other))[::-1]
    return (lighter + 0.05) / (darker + 0.05)


def _lab(linear: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = (
        value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz / (0.95047, 1, 1.08883)
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.fixture(params=THEMES)
def tokens(request):
    return _tokens(request.param)


@pytest.mark.parametrize("ink", ["ink", "ink-2", "ink-3", "accent", "good", "warn", "bad"])
def test_text_is_readable_on_every_surface(tokens, ink):
    assert {surface for surface in SURFACES if _contrast(tokens[ink], tokens[surface]) < 4.5} == set()


@pytest.mark.parametrize("state", ["accent", "good", "warn", "bad"])
def test_text_is_readable_on_the_soft_colours_of_states(tokens, state):
    assert {ink for ink in (state, "ink", "ink-2") if _contrast(tokens[ink], tokens[f"{state}-soft"]) < 4.5} == set()


@pytest.mark.parametrize("fill", ["accent-fill", "accent-fill-hover", "bad-fill", "bad-fill-hover"])
def test_white_is_readable_on_filled_buttons(tokens, fill):
    assert _contrast("#ffffff", tokens[fill]) >= 4.5


def test_code_is_readable(tokens):
    code = [name for name in tokens if name.startswith("code-")]
    assert code
    assert {name for name in code if _contrast(tokens[name], tokens["surface-sunken"]) < 4.5} == set()


def test_edges_of_fields_and_marks_of_charts_are_seen(tokens):
    seen = ["line-control", *(f"chart-{number}" for number in range(1, 9))]
    assert {name for name in seen if _contrast(tokens[name], tokens["surface"]) < 3} == set()


@pytest.mark.parametrize("vision", VISION)
def test_chart_colours_are_told_apart(tokens, vision):
    """A CIE76 distance of 15 is some six times what is just noticeable; the first four are further apart."""
    colours = [_linear(tokens[f"chart-{number}"]) for number in range(1, 9)]
    seen = [_lab(np.clip(VISION[vision] @ colour, 0, 1)) for colour in colours]
    distances = {(i + 1, j + 1): np.linalg.norm(seen[i] - seen[j]) for i, j in itertools.combinations(range(8), 2)}
    assert {pair: distance for pair, distance in distances.items() if distance < 15} == {}
    assert min(distance for (_, second), distance in distances.items() if second <= 4) > 20


def test_both_themes_define_every_colour_that_is_used():
    css = "".join(path.read_text() for path in (ROOT / "static" / "css").rglob("*.css"))
    defined = set(re.findall(r"(--[\w-]+):", css))
    # --prose-size is set by pages that offer a choice of text size; its fallback stands where it is used.
    assert set(re.findall(r"var\((--[\w-]+)\)", css)) - defined == set()
