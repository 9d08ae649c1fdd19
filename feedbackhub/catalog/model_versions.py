"""Model versions: registered after their weights were looked at, immutable once they have outputs."""

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project

from .decoding import decoding_check
from .models import ModelVersion
from .weights import HUB_ID, WeightsError, adapter_check, base_check

CHUNK = 500
Kind = ModelVersion.Kind


def embedded_model() -> ModelVersion:
    """The site-wide embedded base, made on demand; its folder follows FEEDBACKHUB_HOME."""
    folder = str(settings.EMBEDDED_MODEL_DIR)
    model, _ = ModelVersion.objects.get_or_create(
        project=None, name=settings.EMBEDDED_MODEL, defaults={"kind": Kind.LOCAL, "base": folder}
    )
    if model.base != folder:
        model.base = folder
        model.save(update_fields=["base"])
    return model


@transaction.atomic
def model_create(
    *,
    project: Project,
    name: str,
    kind: str,
    base: str = "",
    adapter: str = "",
    endpoint: str = "",
    decoding: dict | None = None,
    role: str = ModelVersion.Purpose.POLICY,
    parent: ModelVersion | None = None,
) -> ModelVersion:
    """Register a model version.

    base: kind local: a folder with config.json and *.safetensors, or the name of a local model version, whose base is
    taken; hub: an id like org/name; openai: the endpoint's name of the model; imported: nothing.
    Raises DomainError: a taken name (409); whatever does not exist or does not fit, by field.
    """
    name = (name or "").strip()
    if kind not in Kind.values:
        _refuse("kind", f'kind "{kind}" is none of {", ".join(Kind.values)}.')
    if role not in ModelVersion.Purpose.values:
        _refuse("role", f'role "{role}" is none of {", ".join(ModelVersion.Purpose.values)}.')
    embedded_model()
    if ModelVersion.objects.filter(_in_reach(project), name=name).exists():
        _taken(name)
    if parent is not None and parent.project_id not in (None, project.pk):
        _refuse("parent", f'model "{parent.name}" belongs to another project.')
    model = ModelVersion(project=project, name=name, kind=kind, role=role, parent=parent)
    _source_set(model, base=base or "", adapter=adapter or "", endpoint=endpoint or "", decoding=decoding)
    return _save(model)


@transaction.atomic
def model_update(*, model: ModelVersion, **changes) -> ModelVersion:
    """Change name, base, adapter, endpoint or decoding of a model version that has no output and no judgment yet."""
    known = {"name", "base", "adapter", "endpoint", "decoding"}
    if unknown := sorted(set(changes) - known):
        _refuse(unknown[0], f'a model version has no "{unknown[0]}" to change; there are {", ".join(sorted(known))}.')
    if model.project_id is None:
        raise DomainError(f'"{model.name}" belongs to the whole site and does not change.', code="conflict", status=409)
    if model.outputs.exists():
        raise DomainError(
            f'"{model.name}" has outputs, so it does not change any more: register a new model version instead.',
            code="conflict",
            status=409,
        )
    name = (changes.pop("name", model.name) or "").strip()
    if name != model.name and ModelVersion.objects.filter(_in_reach(model.project), name=name).exists():
        _taken(name)
    model.name = name
    source = {field: changes.get(field, getattr(model, field)) for field in ("base", "adapter", "endpoint", "decoding")}
    _source_set(model, **source)
    return _save(model)


def _save(model: ModelVersion) -> ModelVersion:
    try:
        model.full_clean(exclude=["decoding"], validate_constraints=False)
        with transaction.atomic():
            model.save()
    except ValidationError as error:
        fields = {field: " ".join(messages) for field, messages in error.message_dict.items()}
        raise DomainError("; ".join(f"{f}: {m}" for f, m in fields.items()), fields=fields) from error
    except IntegrityError:
        _taken(model.name)
    return model


def _in_reach(project: Project) -> Q:
    return Q(project=project) | Q(project=None)


def _refuse(field: str, message: str) -> None:
    raise DomainError(message, fields={field: message})


def _taken(name: str) -> None:
    message = _('There is a model "%(name)s" already; choose another name.') % {"name": name}
    raise DomainError(message, code="conflict", fields={"name": message}, status=409)


def _source_set(model: ModelVersion, *, base: str, adapter: str, endpoint: str, decoding: dict | None) -> None:
    """Check what the kind of model needs and set it. Raises DomainError naming the field."""
    base, adapter, endpoint = base.strip(), adapter.strip(), endpoint.strip()
    kind = model.kind
    if endpoint and kind != Kind.OPENAI:
        _refuse("endpoint", _("A model of kind %(kind)s has no endpoint; kind openai has.") % {"kind": kind})
    if adapter and kind not in (Kind.LOCAL, Kind.HUB):
        _refuse("adapter", _("A model of kind %(kind)s takes no adapter; kinds local and hub do.") % {"kind": kind})
    if kind == Kind.IMPORTED and (base or decoding):
        field = "base" if base else "decoding"
        _refuse(
            field,
            _("A model of kind imported is known by its outputs and votes only and has no %(field)s.")
            % {"field": field},
        )
    if kind == Kind.OPENAI and not endpoint:
        _refuse("endpoint", _("Give the endpoint's URL, for example https://api.openai.com/v1."))
    if kind == Kind.OPENAI and not base:
        _refuse("base", _("Give as base the model's name at the endpoint."))
    if kind == Kind.HUB and not HUB_ID.match(base):
        _refuse("base", _('"%(base)s" is not a hub id like org/name.') % {"base": base})
    if kind == Kind.LOCAL:
        base = _local_base(model, base, adapter)
    if adapter:
        adapter = str(Path(adapter).expanduser().resolve())
        try:
            adapter_check(Path(adapter), base=base, base_is_folder=kind == Kind.LOCAL)
        except WeightsError as error:
            _refuse("adapter", f"adapter: {error}")
    model.base, model.adapter, model.endpoint = base, adapter, endpoint
    model.decoding = decoding_check(decoding)


def _local_base(model: ModelVersion, base: str, adapter: str) -> str:
    """The base folder, given as a path or as the name of a local model version (then the parent of an adapter)."""
    if not base:
        _refuse("base", _("Give as base a folder with config.json and *.safetensors, or the name of a local model."))
    in_reach = ModelVersion.objects.filter(_in_reach(model.project), kind=Kind.LOCAL)
    named = in_reach.filter(name=base).exclude(pk=model.pk).first()
    if named is not None and named.adapter:
        _refuse(
            "base",
            _(
                'base: "%(base)s" has an adapter itself, and a model version has at most one. '
                "Merge it first, or name its base %(root)s if the new adapter was trained on that."
            )
            % {"base": base, "root": named.base},
        )
    if named is not None and adapter and model.parent is None:
        model.parent = named
    folder = Path(named.base if named else base).expanduser()
    if named is None and not folder.is_dir():
        names = ", ".join(in_reach.filter(adapter="").order_by("name").values_list("name", flat=True)[:10])
        _refuse(
            "base",
            _('base: "%(base)s" is neither a folder on this machine nor one of the local models (%(names)s).')
            % {"base": base, "names": names},
        )
    folder = folder.resolve()
    try:
        base_check(folder)
    except WeightsError as error:
        _refuse("base", f"base: {error}")
    return str(folder)


def model_get_or_create_imported(*, project: Project, name: str) -> ModelVersion:
    """The project's model of that name, whatever its kind, else the site-wide one, else a new one of kind imported."""
    models, _ = models_get_or_create_imported(project=project, names=[name])
    return models[name]


@transaction.atomic
def models_get_or_create_imported(*, project: Project, names: Sequence[str]) -> tuple[dict[str, ModelVersion], int]:
    """Name → model version for every name, and how many of them this call made (kind imported)."""
    embedded_model()
    wanted = list(dict.fromkeys(names))
    found: dict[str, ModelVersion] = {}
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        for model in ModelVersion.objects.filter(_in_reach(project), name__in=chunk):
            if model.project_id is not None or model.name not in found:
                found[model.name] = model
    made = 0
    for name in wanted:
        if name not in found:
            found[name], new = ModelVersion.objects.get_or_create(
                project=project, name=name, defaults={"kind": Kind.IMPORTED}
            )
            made += new
    return found, made
