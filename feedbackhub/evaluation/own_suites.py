"""A suite of the project's own as a run: what run.json says, and the rows it is given."""

from pathlib import Path

from feedbackhub.catalog.content import prompt_digest
from feedbackhub.catalog.generations import base_spec, chat
from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project

from .models import SuiteItem, SuiteVersion

ITEMS, ANSWERS, TASK, ROWS, FEWSHOT = (f"data/{name}.jsonl" for name in ("items", "answers", "task", "rows", "fewshot"))
DECODING = ("top_p", "repetition_penalty", "max_new_tokens", "temperature", "system")


def suite_of(project: Project, name: str) -> SuiteVersion | None:
    """The latest version of the project's suite of that name, or the one that `NAME v2` names."""
    own = SuiteVersion.objects.filter(project=project)
    found = own.filter(name=name).order_by("-number").first()
    plain, _v, number = name.rpartition(" v")
    if found is None and number.isdecimal() and len(number) < 9:
        found = own.filter(name=plain, number=int(number)).first()
    return found


def rules_of(suite: SuiteVersion, item: SuiteItem) -> list[dict]:
    """All rules that hold for an item: the suite's and its own."""
    return [*suite.rules, *item.data.get("rules", [])]


def variants_of(item: SuiteItem) -> list[list[dict]]:
    """The item's conversation, and with each paraphrase in the place of its last message."""
    messages = item.data["messages"]
    others = [[{"type": "text", "text": text}] for text in item.data.get("paraphrases", [])]
    return [messages, *([*messages[:-1], {**messages[-1], "content": content}] for content in others)]


def suite_run(suite: SuiteVersion, model: ModelVersion) -> tuple[dict, dict]:
    """(run.json's fields, files) that measure a model on a suite. DomainError: an imported model without answers."""
    items = list(suite.items.all())
    if suite.kind == SuiteVersion.Kind.TASK:
        return _task_run(suite, model, items)
    spec: dict = {"settings": {"suite": "answers", **_decoding(suite, model)}, "seed": model.decoding.get("seed", 0)}
    if any(rule["kind"] == "similarity" for item in items for rule in rules_of(suite, item)):
        spec["embedder"] = _embedder(model)
    if model.kind == ModelVersion.Kind.IMPORTED:
        return {**spec, "data": {"answers": ANSWERS}}, {ANSWERS: _imported_answers(model, items)}
    rows = (
        {"id": f"{item.pk}#{variant}", "messages": chat(messages), "references": item.data.get("references", [])}
        for item in items
        for variant, messages in enumerate(variants_of(item))
    )
    return {"base": base_spec(model), **spec, "data": {"items": ITEMS}}, {ITEMS: rows}


def _decoding(suite: SuiteVersion, model: ModelVersion) -> dict:
    """The model's own way of decoding, but where the suite says."""
    ours = {name: suite.settings[name] for name in DECODING if name in suite.settings}
    theirs = {name: value for name, value in model.decoding.items() if name in DECODING and value is not None}
    return {**theirs, **ours, "samples": suite.settings.get("seeds", 1)}


def _task_run(suite: SuiteVersion, model: ModelVersion, items: list[SuiteItem]) -> tuple[dict, dict]:
    rows = [{**item.data, "id": item.pk} for item in items if not item.example]
    examples = [item.data for item in items if item.example]
    names = {"task": TASK, "rows": ROWS, **({"fewshot": FEWSHOT} if examples else {})}
    known = ("num_fewshot", "max_new_tokens", "temperature")
    settings = {name: suite.settings[name] for name in known if name in suite.settings}
    settings |= {"samples": suite.settings["seeds"]} if "seeds" in suite.settings else {}
    spec = {"base": base_spec(model), "data": names, "settings": {"suite": "task", **settings}, "seed": 0}
    return spec, {TASK: [suite.task], ROWS: rows, **({FEWSHOT: examples} if examples else {})}


def _embedder(model: ModelVersion) -> dict:
    """Whose embeddings compare texts: the site's own base, the same for every model; without it the model's base."""
    ours = ModelVersion.objects.filter(project=None, kind=ModelVersion.Kind.LOCAL, adapter="").order_by("pk")
    base = next((one for one in ours if (Path(one.base) / "config.json").is_file()), None)
    if base is None and not model.generates:
        message = "No local model is there to compare texts by their embeddings."
        raise DomainError(message, fields={"models": message})
    return {"path": (base or model).base}


def _imported_answers(model: ModelVersion, items: list[SuiteItem]) -> list[dict]:
    """The latest imported answer to each item's prompt."""
    digests = {prompt_digest(item.data["messages"]): item for item in items}
    outputs = Output.objects.filter(model=model, prompt__digest__in=digests).select_related("prompt").order_by("pk")
    latest = {output.prompt.digest: output.text for output in outputs}
    if not latest:
        message = f'model "{model.name}" is imported, and none of its outputs answers a prompt of this suite.'
        raise DomainError(message, fields={"models": message})
    return [
        {"id": f"{item.pk}#0", "text": latest[digest], "references": item.data.get("references", [])}
        for digest, item in digests.items()
        if digest in latest
    ]
