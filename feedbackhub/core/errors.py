"""The one way a service says no: what was wrong, where, and what to do. Pages show it, the API answers it."""

from django.db import DataError
from django.utils.translation import gettext as _


class DomainError(Exception):
    """A request that a rule of the house refuses.

    message: a sentence a person can act on.
    code: a stable word for programs.
    fields: field name → what is wrong with it.
    status: the HTTP status that fits.
    extra: further keys of the API's answer (for example `excluded`).
    """

    def __init__(self, message: str, *, code: str = "invalid", fields: dict | None = None, status: int = 400, **extra):
        super().__init__(message)
        self.message = message
        self.code = code
        self.fields = fields or {}
        self.status = status
        self.extra = extra


class NotFound(DomainError):
    def __init__(self, message: str, **kwargs):
        super().__init__(message, code=kwargs.pop("code", "not_found"), status=404, **kwargs)


class Forbidden(DomainError):
    def __init__(self, message: str, **kwargs):
        super().__init__(message, code=kwargs.pop("code", "forbidden"), status=403, **kwargs)


def refused(error: Exception) -> DomainError | None:
    """The refusal that an error is; None where it is a fault of ours.

    A NUL in a text never reaches PostgreSQL: psycopg raises before it sends anything.
    """
    if isinstance(error, DataError) and "NUL (0x00)" in str(error):
        return DomainError(_("A text holds the character NUL (U+0000), which cannot be stored or looked for."))
    return error if isinstance(error, DomainError) else None
