"""The texts of pages and scripts and their translations: `update` gathers and compiles, `check` says what is amiss.

    bin/messages.py update [LANGUAGE]   gather the texts into feedbackhub/locale/*/LC_MESSAGES/*.po and compile; a new
                                        LANGUAGE gets files of its own
    bin/messages.py check               for bin/lint: all translated, none unsure, the same placeholders, compiled

Babel does what GNU gettext does for `manage.py makemessages`; nothing has to be installed beside the requirements.
"""

import io
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import django
from babel.messages import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "feedbackhub" / "locale"
KEYWORDS = {
    **dict.fromkeys(("_", "lazy", "gettext", "gettext_lazy", "gettext_noop", "said")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}
CALL = re.compile(r"""\b(?:n?p?gettext|_)\((?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^'"()])*\)""")
SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
PLACEHOLDER = re.compile(r"%\(\w+\)[\d.]*[a-z]|%[sd]")
Found = Iterator[tuple[str, tuple]]


# --- Gathering ----------------------------------------------------------------------------------------------------


def _python() -> Found:
    for path in sorted((ROOT / "feedbackhub").rglob("*.py")):
        with path.open("rb") as file:
            yield from _extracted("python", file, path)


def _templates() -> Found:
    for path in sorted((ROOT / "templates").rglob("*.html")):
        # What templatize leaves of the markup is no Python; its calls alone are.
        calls = CALL.findall(templatize(path.read_text()))
        yield from _extracted("python", io.BytesIO("\n".join(calls).encode()), path)


def _settings() -> Found:
    """The helps of a round's settings, which training publishes."""
    path = ROOT / "training" / "schema.json"
    for recipe in json.loads(path.read_text()).values():
        for rule in recipe["settings"].values():
            yield str(path.relative_to(ROOT)), (rule["help"], None)


def _scripts() -> Found:
    for path in sorted((ROOT / "static" / "js").glob("*.js")):
        with path.open("rb") as file:
            yield from _extracted("javascript", file, path)


def _extracted(method: str, file, path: Path) -> Found:
    for _, text, _, context in extract(
        method, file, keywords=KEYWORDS, options={"encoding": "utf-8", "parse_template_string": "true"}
    ):
        yield str(path.relative_to(ROOT)), (text, context)


def gathered() -> dict[str, Catalog]:
    """Domain → its texts, with the files they are in."""
    catalogs = {"django": Catalog(), "djangojs": Catalog()}
    for domain, sources in (("django", (_python, _templates, _settings)), ("djangojs", (_scripts,))):
        for source in sources:
            for path, (text, context) in source():
                catalogs[domain].add(text, locations=[(path, 0)], context=context)
    return catalogs


# --- Files ----------------------------------------------------------------------------------------------------------


def _path(language: str, domain: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"{domain}.po"


def _read(path: Path, language: str) -> Catalog:
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def compiled(catalog: Catalog) -> bytes:
    catalog.creation_date = catalog.revision_date = SOME_DAY  # into the header, which would differ by the minute
    into = io.BytesIO()
    write_mo(into, catalog)
    return into.getvalue()


def _written(catalog: Catalog, language: str) -> bytes:
    """A .po without dates and line numbers: it changes only as its texts do."""
    plain = Catalog(locale=language, header_comment="", fuzzy=False)
    head = (
        f'msgid ""\nmsgstr ""\n"Language: {language}\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
        f'"Plural-Forms: {plain.plural_forms}\\n"\n\n'
    )
    into = io.BytesIO()
    write_po(into, catalog, width=120, omit_header=True, include_lineno=False, sort_output=True, ignore_obsolete=True)
    return head.encode() + into.getvalue().strip() + b"\n"


def languages() -> list[str]:
    return sorted(code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE)


def update(only: str | None = None) -> None:
    for domain, texts in gathered().items():
        for language in [only] if only else languages():
            path = _path(language, domain)
            path.parent.mkdir(parents=True, exist_ok=True)
            known = _read(path, language)
            known.update(texts, no_fuzzy_matching=True)
            path.write_bytes(_written(known, language))
            stored = _read(path, language)
            path.with_suffix(".mo").write_bytes(compiled(stored))
            open_ = [message for message in stored if message.id and not _said(message)]
            print(f"{path.relative_to(ROOT)}: {len(stored)} texts, {len(open_)} without a translation")


# --- Checking -------------------------------------------------------------------------------------------------------


def _many(text) -> list[str]:
    return list(text) if isinstance(text, list | tuple) else [text]


def _said(message: Message) -> bool:
    return all(_many(message.string)) and bool(message.string)


def faults_of(message: Message) -> Iterator[str]:
    """What is wrong with one translation."""
    if not _said(message):
        yield "has no translation"
        return
    if message.fuzzy:
        yield "is marked as unsure (fuzzy)"
    *_, original = _many(message.id)
    wanted = set(PLACEHOLDER.findall(original))
    for string in _many(message.string):
        there = set(PLACEHOLDER.findall(string))
        # A form for one thing may say it in words ("one task").
        if there - wanted or (wanted - there and string == _many(message.string)[-1]):
            yield f"has other placeholders: {', '.join(sorted(there ^ wanted))}"
        if '"' in string and '"' not in original:
            yield "has straight quotes, which would end an attribute; write the language's own"
        if string[:1].isspace() != original[:1].isspace() or string[-1:].isspace() != original[-1:].isspace():
            yield "begins or ends with another space than the original"


def faults() -> Iterator[str]:
    for domain, texts in gathered().items():
        for language in languages():
            path = _path(language, domain)
            where = path.relative_to(ROOT)
            stored = _read(path, language)
            for message in texts:
                if message.id and not stored.get(_many(message.id)[0], message.context):
                    yield f"{where}: not gathered yet: {_many(message.id)[0]!r} ({message.locations[0][0]})"
            for message in stored:
                if not message.id:
                    continue
                said = _many(message.id)[0]
                if not texts.get(said, message.context):
                    yield f"{where}: no longer used: {said!r}"
                for fault in faults_of(message):
                    yield f"{where}: {said!r} {fault}"
            binary = path.with_suffix(".mo")
            if not binary.exists() or binary.read_bytes() != compiled(stored):
                yield f"{binary.relative_to(ROOT)} is not what the .po says"


def main(arguments: list[str]) -> int:
    sys.path.insert(0, str(ROOT))
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedbackhub.settings")
    django.setup()
    if arguments[:1] == ["update"]:
        update(*arguments[1:2])
        return 0
    if arguments != ["check"]:
        print(__doc__)
        return 2
    found = list(faults())
    for fault in found:
        print(fault)
    if found:
        print("\nbin/messages.py update gathers and compiles; docs/translating.md says the rest.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
