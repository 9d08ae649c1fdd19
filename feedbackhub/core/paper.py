"""A report as a PDF: headings, sentences, figures, tables. Its charts are in paper_charts.py, drawn as vectors.

Texts may come from models and raters: what the font has no letters for becomes □, control characters go. Colours are
the light ones of static/css/tokens.css.
"""

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from fpdf import FPDF
from fpdf.enums import TableBordersLayout, XPos, YPos
from fpdf.fonts import FontFace

FONTS = Path(__file__).parent / "fonts"
INK, INK_2, INK_3 = (28, 26, 23), (82, 78, 71), (104, 99, 90)
LINE, GRID, SUNKEN = (205, 200, 190), (235, 232, 226), (242, 240, 236)
GOOD, BAD = (10, 104, 89), (169, 38, 29)
MARGIN = 17  # millimetres
BODY = 9.5  # points
logging.getLogger("fontTools").setLevel(logging.WARNING)


class Paper(FPDF):
    """A4, upright. Lengths are millimetres, font sizes points."""

    def __init__(self, *, title: str, project: str):
        super().__init__(format="A4")
        self.set_margin(MARGIN)
        self.set_auto_page_break(True, 20)
        for style, name in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
            self.add_font("sans", style, FONTS / name)
        self.project = project
        self.made_at = date_format(timezone.now(), "SHORT_DATETIME_FORMAT") + " UTC"
        self.set_title(plain(title))
        self.set_creator("FeedbackHub")
        self.set_lang(get_language() or "en")
        self.add_page()
        self.say(title, size=17, bold=True)
        self.say(project, ink=INK_2)
        self.ln(3)

    def footer(self) -> None:
        self.set_y(-14)
        self.letters(7.5, ink=INK_3)
        self.cell(0, 5, f"FeedbackHub · {plain(self.project)} · {self.made_at}")
        self.set_x(MARGIN)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align="R")

    def letters(self, size: float = BODY, *, bold: bool = False, ink: tuple[int, int, int] = INK) -> None:
        self.set_font("sans", "B" if bold else "", size)
        self.set_text_color(*ink)

    def say(self, text: str, *, size: float = BODY, bold: bool = False, ink=INK, indent: float = 0) -> None:
        """A paragraph over the whole width."""
        self.letters(size, bold=bold, ink=ink)
        self.set_x(MARGIN + indent)
        self.multi_cell(self.epw - indent, size * 0.5, plain(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(size * 0.1)

    def head(self, text: str, lead: str = "", *, room: float = 24) -> None:
        """A section's heading, on one page with so much of what follows, and in the document's outline."""
        self.need(room + 14)
        self.ln(5)
        self.start_section(plain(text))
        self.say(text, size=12.5, bold=True)
        if lead:
            self.say(lead, size=8.5, ink=INK_2)
        self.ln(1)

    def need(self, height: float) -> None:
        """Begin a new page unless so much is left on this one."""
        if self.will_page_break(height):
            self.add_page()

    def figures(self, of: Sequence[tuple[str, str, str]], *, columns: int = 4) -> None:
        """(label, value, note) as tiles, so many in a row."""
        width, height = self.epw / columns, 19
        for start in range(0, len(of), columns):
            self.need(height)
            top = self.get_y()
            for column, (label, value, note) in enumerate(of[start : start + columns]):
                left = MARGIN + column * width
                written = ((label, 7.5, INK_2, 1.5, 1), (value, 12.5, INK, 5, 1), (note, 6.8, INK_3, 11, 2))
                for text, size, ink, down, lines in written:
                    bold = text is value
                    self.letters(size, bold=bold, ink=ink)
                    self.set_xy(left + 2, top + down)
                    self.multi_cell(width - 4, size * 0.45, self.cut(text, (width - 4) * lines * 0.95), align="L")
                self.set_draw_color(*LINE)
                self.rect(left, top, width, height)
            self.set_xy(MARGIN, top + height)
        self.ln(3)

    def table_of(self, head: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[float]) -> None:
        """Texts in rows; columns of figures stand to the right. `widths`: their proportions."""
        rows = [[plain(cell) for cell in row] for row in rows]
        self.letters(8)
        self.set_draw_color(*LINE)
        self.set_fill_color(255, 255, 255)
        numeric = [
            bool(column) and all(_is_figure(row[column]) for row in rows) for column in range(len(head))
        ]  # fmt: skip
        with self.table(
            col_widths=tuple(widths),
            text_align=tuple("RIGHT" if one else "LEFT" for one in numeric),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            line_height=4.2,
            padding=(1, 1.2),
            headings_style=FontFace(emphasis="BOLD", color=INK_2, fill_color=SUNKEN),
            width=self.epw,
        ) as table:
            for cells in [[plain(cell) for cell in head], *rows]:
                row = table.row()
                for cell in cells:
                    row.cell(cell)
        self.ln(3)

    def cut(self, text: str, width: float) -> str:
        """As much of the text as has room in this width, in the letters that are set."""
        text = plain(text)
        if self.get_string_width(text) <= width:
            return text
        while text and self.get_string_width(text + "…") > width:
            text = text[:-1]
        return text + "…"

    def cut_middle(self, text: str, width: float) -> str:
        """The same, cut in the middle: models of one family differ at the ends of their names."""
        text = plain(text)
        most = len(text)
        while most > 4 and self.get_string_width(_middle(text, most)) > width:
            most -= 1
        return _middle(text, most) if most < len(text) else text

    def bytes(self) -> bytes:
        return bytes(self.output())


def plain(text: object) -> str:
    """What can be written: no control characters; of what the font has no letters for, one □ a run."""
    known = _letters()
    made = []
    for letter in unicodedata.normalize("NFC", str(text)):
        if letter == "\n":
            made.append(letter)
        elif letter in "\t\r":
            made.append(" ")
        elif unicodedata.category(letter) in ("Cc", "Cf", "Cs"):  # also what turns the direction of writing
            continue
        elif ord(letter) in known:
            made.append(letter)
        elif not unicodedata.combining(letter) and made[-1:] != ["□"]:
            made.append("□")
    return "".join(made)


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    from fontTools.ttLib import TTFont

    return frozenset(TTFont(FONTS / "DejaVuSans.ttf", lazy=True).getBestCmap())


def _middle(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def _is_figure(text: str) -> bool:
    return not text or text[0] in "–+−-[0123456789±"
