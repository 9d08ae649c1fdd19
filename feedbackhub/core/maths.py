r"""TeX in Markdown: $…$, $$…$$, \(…\) and \[…\], kept from Markdown's own rules and handed to the page as text.

The page shows the text until js/maths.js has typeset it. Money stays money: what a dollar opens must begin and end
without a space, have no digit or letter after its end (Pandoc's rule for tex_math_dollars), and stand in one paragraph.
"""

import re

from django.utils.html import escape
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

TEX_AT_MOST = 4000  # characters; what is longer stays text
LINES_AT_MOST = 100
_BETWEEN_DOLLARS = re.compile(
    r"""
    \$\$ (?: [^$\\] | \\. )+ \$\$
    | (?<! [\w$\\] ) \$ (?! [\s$] ) (?: [^$\\] | \\. )+ (?<! \s ) \$ (?! [\w$] )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENS = {"$$": "$$", r"\[": r"\]"}
_ENDS = {r"\[": r"\]", r"\(": r"\)"}


def maths(parser: MarkdownIt) -> None:
    """A plugin: formulas become `.math`, those of their own lines `.math.math-display`, with their TeX as text."""
    parser.inline.ruler.before("escape", "math", _inline)
    parser.block.ruler.before("fence", "math_block", _block, {"alt": ["paragraph", "blockquote", "list"]})
    parser.add_render_rule("math", _render)
    parser.add_render_rule("math_block", _render_block)


def _inline(state: StateInline, silent: bool) -> bool:
    end = _end(state.src, state.pos, min(state.posMax, state.pos + TEX_AT_MOST))
    if end is None:
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content = state.src[state.pos : end]
    state.pos = end
    return True


def _end(text: str, start: int, limit: int) -> int | None:
    """Where the formula ends that begins at `start`; None where none does. Bounded: a text may open thousands."""
    if text[start] == "$":
        found = _BETWEEN_DOLLARS.match(text, start, limit)
        return found.end() if found else None
    if (ends := _ENDS.get(text[start : start + 2])) is None:
        return None
    closes = text.find(ends, start + 2, limit)
    return closes + 2 if closes > start + 2 else None


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A formula that has its lines to itself: nothing in them is a list or a heading."""
    if state.is_code_block(first):
        return False
    start = state.bMarks[first] + state.tShift[first]
    ends = _OPENS.get(state.src[start : start + 2])
    if ends is None or state.src.find(ends, start + 2, start + TEX_AT_MOST) < 0:
        return False
    for line in range(first, min(last, first + LINES_AT_MOST)):
        if line > first and state.sCount[line] < state.blkIndent:
            return False
        begin = start + 2 if line == first else state.bMarks[line] + state.tShift[line]
        rest = state.src[begin : state.eMarks[line]].rstrip()
        if rest.endswith(ends):
            break
        if ends in rest:
            return False
    else:
        return False
    lines = state.getLines(first, line + 1, state.blkIndent, False).strip()
    if len(lines) < 5 or len(lines) > TEX_AT_MOST:
        return False
    if not silent:
        token = state.push("math_block", "", 0)
        token.content, token.map = lines, [first, line + 1]
        state.line = line + 1
    return True


def _render(self, tokens, index, options, env) -> str:
    tex = tokens[index].content
    kind = "math math-display" if tex.startswith(("$$", r"\[")) else "math"
    return f'<span class="{kind}">{escape(tex)}</span>'


def _render_block(self, tokens, index, options, env) -> str:
    return f'<div class="math math-display">{escape(tokens[index].content)}</div>\n'
