"""What was tuned here, to be taken away: an adapter or a whole model with its card, as a ZIP file made in passing."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from django.conf import settings as site
from django.utils.translation import gettext as _

from feedbackhub.core.errors import NotFound

from .models import ModelVersion

AT_ONCE = 1024**2


def weights_folder(model: ModelVersion) -> Path | None:
    """Where the weights of a model version lie that a run here made; None of any other, which was got elsewhere."""
    folder = Path(model.adapter or model.base)
    if model.kind not in (ModelVersion.Kind.LOCAL, ModelVersion.Kind.HUB) or not folder.is_absolute():
        return None
    ours = Path(site.RUNS_DIR).resolve()
    return folder if folder.resolve().is_relative_to(ours) and folder.is_dir() else None


def weights_archive(model: ModelVersion) -> tuple[str, Iterator[bytes]]:
    """(file name, the ZIP file in chunks). Raises NotFound where nothing was tuned here."""
    folder = weights_folder(model)
    if folder is None:
        message = _('"%(name)s" was not tuned here, so there are no weights of it to be had from this site.')
        raise NotFound(message % {"name": model.name})
    name = file_name(model)
    return f"{name}.zip", zipped(folder, name)


def file_name(model: ModelVersion) -> str:
    """The model version's name as that of a file, without its ending."""
    return re.sub(r"[^\w.-]+", "-", model.name, flags=re.ASCII).strip("-.") or f"model-{model.pk}"


def zipped(folder: Path, name: str) -> Iterator[bytes]:
    """The folder's files under `name`/ as a ZIP file in chunks; weights do not get smaller by packing, so they are
    stored as they are."""
    pipe = _Pipe()
    with ZipFile(pipe, "w", ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            entry = ZipInfo.from_file(path, f"{name}/{path.relative_to(folder)}")
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(AT_ONCE):
                    target.write(chunk)
                    yield pipe.taken()
    yield pipe.taken()


class _Pipe(io.RawIOBase):
    """What was written since it was last asked."""

    def __init__(self):
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, given) -> int:
        self.waiting += given
        return len(given)

    def taken(self) -> bytes:
        found = bytes(self.waiting)
        self.waiting.clear()
        return found
