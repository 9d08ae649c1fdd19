"""Formulas in Markdown: found where they are meant, money left alone, no text slow to read."""

import time

import pytest

from feedbackhub.core.markdown import markdown


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $10 today.",
        "US$5, A$6, $7-$10 and $1,000 (about $2)",
        r"\$5 and 6$",
        "`$x$`",
        "```\n$$\nx\n$$\n```",
        "    \\[ indented code \\]",
        r"\[ unclosed, \( too",
        "$ x$ and $x $",
        "$HOME/bin:$PATH",
        "$$",
        "$$$$",
        r"\(\)",
    ],
)
def test_what_is_no_formula_stays_text(text):
    assert 'class="math' not in markdown(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("so $a_1*b_1*c$.", '<p>so <span class="math">$a_1*b_1*c$</span>.</p>'),
        (r"\(x<y\)", r'<p><span class="math">\(x&lt;y\)</span></p>'),
        ("a $$x$$ b", '<p>a <span class="math math-display">$$x$$</span> b</p>'),
        ("by\n\\[\n- a\n\n= b\n\\]\n", '<p>by</p>\n<div class="math math-display">\\[\n- a\n\n= b\n\\]</div>'),
        ("> $$\n> x\n> $$", '<blockquote>\n<div class="math math-display">$$\nx\n$$</div>\n</blockquote>'),
        ("<b>$<i>x</i>$", '<p>&lt;b&gt;<span class="math">$&lt;i&gt;x&lt;/i&gt;$</span></p>'),
    ],
)
def test_formulas_keep_their_tex(text, html):
    assert markdown(text).strip() == html


@pytest.mark.parametrize(
    "piece", [r"\[", r"\(x", "$x ", "$$x ", r"$x\$", "$$\nx\n\n", "$", "> \\[\n", "\\[ x\n", "\\[\n\\] x\n"]
)
def test_no_text_takes_long_to_read(piece):
    text = (piece * 100_000)[:100_000]
    began = time.process_time()
    markdown(text)
    assert time.process_time() - began < 5
