"""Markdown that people and models wrote, as HTML that is safe to show.

Twice guarded: the parser writes raw HTML out as text, and what it makes passes an allow-list of tags, attributes,
classes and URL schemes. No image is ever loaded: its link is shown instead, so that a text cannot call home or another
page. Links leave the site, in a tab of their own; relative ones, which would point into this site, are taken off.
"""

from contextlib import suppress
from functools import lru_cache

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from .maths import maths

HIGHLIGHTED_AT_MOST = 20_000  # characters; a longer block is shown plain, for lexers are regular expressions
TAGS = {
    *("a", "blockquote", "br", "code", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p"),
    *("pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
MATH = {"math", "math-display"}
CLASSES = {"span": set(filter(None, STANDARD_TYPES.values())) | MATH, "div": {"highlight", *MATH}}
_cleaner = nh3.Cleaner(
    tags=TAGS,
    attributes={"a": {"href", "title"}, "ol": {"start"}},
    tag_attribute_values={"pre": {"tabindex": {"0"}}},
    allowed_classes=CLASSES,
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    clean_content_tags={"script", "style"},
)


class _Renderer(RendererHTML):
    # The page's own headings are above what is written in it.
    def heading_open(self, tokens, index, options, env) -> str:
        return f"<h{min(6, int(tokens[index].tag[1]) + 2)}>"

    def heading_close(self, tokens, index, options, env) -> str:
        return f"</h{min(6, int(tokens[index].tag[1]) + 2)}>\n"

    def fence(self, tokens, index, options, env) -> str:
        return _code(tokens[index].content, tokens[index].info.split(maxsplit=1)[:1])

    def code_block(self, tokens, index, options, env) -> str:
        return _code(tokens[index].content, [])

    def image(self, tokens, index, options, env) -> str:
        alt = self.renderInlineAsText(tokens[index].children or [], options, env) or "image"
        return f'<a href="{escape(tokens[index].attrs["src"])}">[{escape(alt)}]</a>'


def _code(text: str, language: list[str]) -> str:
    html = escape(text)
    if language and len(text) <= HIGHLIGHTED_AT_MOST:
        with suppress(ClassNotFound):  # a language that Pygments does not know is shown plain
            html = highlight(text, get_lexer_by_name(language[0]), HtmlFormatter(nowrap=True))
    # A block that can be scrolled must be reachable by keyboard.
    return f'<div class="highlight"><pre tabindex="0"><code>{html}</code></pre></div>\n'


# breaks: models end lines where they mean to.
_parser = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer)
_parser.enable(["table", "strikethrough"])
_parser.use(maths)


@lru_cache(maxsize=1024)
def markdown(text: str) -> SafeString:
    """`text` (CommonMark with tables) as safe HTML; code carries Pygments' classes inside `.highlight`, formulas their
    TeX inside `.math`."""
    return mark_safe(_cleaner.clean(_parser.render(text)))
