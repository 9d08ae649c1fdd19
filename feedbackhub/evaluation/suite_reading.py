"""A suite as people write it, read and checked: a definition (YAML or JSON) and items (JSON Lines)."""

import json
import re
from dataclasses import dataclass

import yaml
from django.conf import settings as site
from django.utils.translation import gettext as _

from feedbackhub.catalog.content import messages_of, messages_read
from feedbackhub.core.json_reading import DEPTH_AT_MOST, json_read

from .models import runs_code
from .rules import RuleError, rules_read

ITEMS_AT_MOST = 5_000
CHARACTERS, TAGS, TAG, PARAPHRASES, KEY = 20_000, 20, 40, 10, 100
NAME = re.compile(r"[\w][\w .+-]{0,79}")
# name: (type, lowest, highest)
SETTINGS = {
    "seeds": (int, 1, 200),
    "temperature": (float, 0, 5),
    "max_new_tokens": (int, 1, 4096),
    "num_fewshot": (int, 0, 64),
    "system": (str, None, None),
}


class SuiteError(ValueError):
    """What is wrong with a suite, in words. field: definition or items."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Definition:
    kind: str
    rules: list[dict]
    task: dict
    settings: dict
    description: str


class _Loader(yaml.SafeLoader):
    """YAML without Python and without aliases, whose repetition can grow without end; `!function x`, as in the
    harness's tasks, becomes a text."""

    depth = 0

    def compose_node(self, parent, index):
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError(_("anchors and aliases are not read; write it out"))
        if self.depth == DEPTH_AT_MOST:
            raise yaml.YAMLError(_("nested too deeply (more than %(most)s levels)") % {"most": DEPTH_AT_MOST})
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.add_constructor("!function", lambda loader, node: f"!function {loader.construct_scalar(node)}")


def definition_parse(text: str) -> dict:
    """The definition that a YAML (or JSON) text holds. Raises SuiteError."""
    try:
        found = yaml.load(text, _Loader)  # noqa: S506 – a SafeLoader
    except yaml.YAMLError as error:
        raise SuiteError("definition", _("This is not YAML: %(error)s") % {"error": error}) from None
    return {} if found is None else found


def items_parse(text: str) -> list[dict]:
    """The objects of JSON Lines. Raises SuiteError naming the line."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json_read(line)
        except ValueError as error:
            raise SuiteError(
                "items", _("line %(line)s: this is not JSON (%(error)s).") % {"line": number, "error": error}
            ) from None
        if not isinstance(row, dict):
            raise SuiteError("items", _("line %(line)s: an item must be a JSON object.") % {"line": number})
        rows.append(row)
    return rows


def definition_read(given: object) -> Definition:
    """`{rules, settings?, description?}`, or a task's fields, or `{task: {…}, settings?}`. Raises SuiteError."""
    if not isinstance(given, dict):
        raise SuiteError("definition", _("A definition is an object with rules, or with the fields of a task."))
    given = stored(given)
    if "doc_to_text" in given:
        given = {"task": given, "description": str(given.get("description", ""))[:200]}
    if unknown := sorted(set(map(str, given)) - {"rules", "task", "settings", "description", "kind", "name"}):
        words = _('"%(name)s" is unknown; a definition has rules, settings and description, or a task.')
        raise SuiteError("definition", words % {"name": unknown[0]})
    settings = _settings_read(given.get("settings") or {})
    description = str(given.get("description") or "")
    if "task" in given:
        if given.get("rules"):
            raise SuiteError("definition", _("A task has no rules: it is scored by its metrics."))
        return Definition("task", [], _task_read(given["task"]), settings, description)
    try:
        rules = rules_read(given.get("rules") or [])
    except RuleError as error:
        raise SuiteError("definition", str(error)) from None
    if any(rule["kind"] == "consistent" and rule["over"] == "seeds" for rule in rules):
        settings.setdefault("seeds", 3)
        settings.setdefault("temperature", 0.7)
    if settings.get("seeds", 1) > 1 and settings.setdefault("temperature", 0.7) == 0:
        raise SuiteError(
            "definition", _("At temperature 0 every seed answers the same: set a temperature, or one seed.")
        )
    return Definition("rules", rules, {}, settings, description)


def _settings_read(given: object) -> dict:
    if not isinstance(given, dict):
        raise SuiteError("definition", _("settings must be an object."))
    for name, value in given.items():
        if name not in SETTINGS:
            words = _('setting "%(name)s" is none of %(names)s.')
            raise SuiteError("definition", words % {"name": name, "names": ", ".join(SETTINGS)})
        kind, lowest, highest = SETTINGS[name]
        fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        if not fits or (lowest is not None and not lowest <= value <= highest):
            words = _("setting %(name)s is out of range: %(value)s.")
            raise SuiteError("definition", words % {"name": name, "value": str(value)[:50]})
    return dict(given)


def _task_read(task: object) -> dict:
    """A task's fields; what it asks of the rows is checked where it runs (training/suites/harness/tasks.py)."""
    if not isinstance(task, dict) or not {"doc_to_text", "doc_to_target"} <= set(task):
        raise SuiteError("definition", _("A task has doc_to_text and doc_to_target, as in lm-evaluation-harness."))
    if runs_code(task) and not site.CODE_SANDBOX:
        raise SuiteError("definition", sandbox_is_off())
    return task


def sandbox_is_off() -> str:
    return _(
        "It runs code that a model wrote (as HumanEval and MBPP do). That needs the sandbox, which is off on this "
        "site; its operator can switch it on: CODE_SANDBOX."
    )


# --- Items -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    key: str
    data: dict
    tags: list[str]
    example: bool = False


def items_read(definition: Definition, rows: object) -> list[Item]:
    """The items of a suite. Raises SuiteError naming the item."""
    if not isinstance(rows, list) or not rows:
        raise SuiteError("items", _("A suite needs items: one JSON object a line."))
    if len(rows) > ITEMS_AT_MOST:
        raise SuiteError("items", _("A suite has at most %(most)s items.") % {"most": ITEMS_AT_MOST})
    read = _rule_item if definition.kind == "rules" else _task_row
    items, seen = [], set()
    for number, row in enumerate(rows, 1):

        def wrong(what: str, number: int = number) -> SuiteError:
            return SuiteError("items", _("item %(number)s: %(what)s") % {"number": number, "what": what})

        if not isinstance(row, dict):
            raise wrong(_("it must be a JSON object."))
        item = read(definition, stored(row), number, wrong)
        if item.key in seen:
            raise wrong(_('the id "%(key)s" occurs twice.') % {"key": item.key})
        seen.add(item.key)
        items.append(item)
    if all(item.example for item in items):
        raise SuiteError("items", _("A suite needs items: one JSON object a line."))
    return items


def _key(row: dict, number: int, wrong) -> str:
    key = row.pop("id", number)
    if not isinstance(key, str | int) or isinstance(key, bool) or not 1 <= len(str(key)) <= KEY:
        raise wrong(_("id must be a text or number of at most %(most)s characters.") % {"most": KEY})
    return str(key)


def _tags(row: dict, wrong) -> list[str]:
    tags = row.pop("tags", [])
    if not _texts(tags, TAGS, TAG):
        raise wrong(_("tags must be a list of at most %(most)s short texts.") % {"most": TAGS})
    return list(dict.fromkeys(tag.strip() for tag in tags))


def _texts(value: object, most: int, characters: int = CHARACTERS) -> bool:
    fits = isinstance(value, list) and len(value) <= most
    return fits and all(isinstance(text, str) and text.strip() and len(text) <= characters for text in value)


def _rule_item(definition: Definition, row: dict, number: int, wrong) -> Item:
    key, tags = _key(row, number, wrong), _tags(row, wrong)
    if unknown := set(row) - {"prompt", "messages", "references", "paraphrases", "rules"}:
        words = _('"%(name)s" is unknown; an item has prompt or messages, references, paraphrases, rules, tags, id.')
        raise wrong(words % {"name": min(unknown)})
    try:
        given = row["messages"] if "messages" in row else messages_of(_prompt(row.get("prompt"), wrong))
        messages = messages_read(given)
    except ValueError as error:
        raise error if isinstance(error, SuiteError) else wrong(str(error)) from None
    if messages[-1]["role"] == "assistant" or len(json.dumps(messages)) > 5 * CHARACTERS:
        raise wrong(_("its messages must end with what is to be answered."))
    references, paraphrases = row.get("references", []), row.get("paraphrases", [])
    if not _texts(references, 50) or not _texts(paraphrases, PARAPHRASES):
        raise wrong(_("references and paraphrases must be lists of texts."))
    try:
        rules = rules_read(row.get("rules", []))
        rules_read([*definition.rules, *rules])
    except RuleError as error:
        raise wrong(str(error)) from None
    every = [*definition.rules, *rules]
    if not every:
        raise wrong(_("no rule applies to it: give the suite rules, or the item."))
    lacking = [
        rule["name"]
        for rule in every
        if rule["kind"] in ("word_f1", "similarity") or (rule["kind"] == "equals" and not rule.get("texts"))
    ]
    if lacking and not references:
        words = _('rule "%(rule)s" compares with references, and it has none.')
        raise wrong(words % {"rule": lacking[0]})
    if not paraphrases and any(rule["kind"] == "consistent" and rule["over"] == "paraphrases" for rule in rules):
        raise wrong(_("a rule of its own asks for consistency over paraphrases, and it has none."))
    data = {"messages": messages, "references": references, "paraphrases": paraphrases, "rules": rules}
    return Item(key, data, tags)


def _prompt(prompt: object, wrong) -> str:
    if not isinstance(prompt, str) or not prompt.strip() or len(prompt) > CHARACTERS:
        raise wrong(_("it needs a prompt, a text of at most %(most)s characters, or messages.") % {"most": CHARACTERS})
    return prompt


def _task_row(definition: Definition, row: dict, number: int, wrong) -> Item:
    tags, example = _tags(row, wrong), bool(row.pop("example", False))
    key = str(row.get("id", number))[:KEY]
    if len(json.dumps(row)) > 5 * CHARACTERS:
        raise wrong(_("it is too long."))
    return Item(f"example {key}" if example else key, row, tags, example)


def stored(value):
    """What every database can store: no NUL, no half of a surrogate pair, no NaN."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {stored(str(key)): stored(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [stored(below) for below in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)
