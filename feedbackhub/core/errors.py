"""The one way a service says no: what was wrong, where, and what to do. Pages show it, the API answers it."""


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
