"""The decoding settings that a model version may carry, and what each may be."""

from feedbackhub.core.errors import DomainError

# Name → (type, least, most, what it is). `most` None: no bound.
DECODING = {
    "system": (str, None, None, "the system prompt put before every conversation"),
    "temperature": (float, 0.0, 5.0, "0 is greedy"),
    "top_p": (float, 0.0, 1.0, "the share of probability that sampling draws from"),
    "repetition_penalty": (float, 0.1, 10.0, "1 is none"),
    "max_new_tokens": (int, 1, 32768, "tokens of an answer at most"),
    "seed": (int, 0, 2**63 - 1, "of the sampling"),
}


def decoding_check(decoding: object) -> dict:
    """The decoding settings as stored. Raises DomainError that names the unknown key or the value out of range."""
    if decoding is None:
        return {}
    if not isinstance(decoding, dict):
        raise DomainError("decoding must be an object.", fields={"decoding": "must be an object"})
    checked = {}
    for name, value in decoding.items():
        if name not in DECODING:
            _refuse(f'decoding has no "{name}"; there are {", ".join(DECODING)}.')
        checked[name] = _value(name, value)
    return checked


def _value(name: str, value: object) -> str | float | int:
    kind, least, most, _ = DECODING[name]
    if kind is str:
        if not isinstance(value, str):
            _refuse(f"decoding {name} must be a text.")
        return value.replace("\x00", "")
    wanted = "a whole number" if kind is int else "a number"
    good = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if not good or not least <= value <= most or (name == "top_p" and value == 0):
        low = f"above {least:g}" if name == "top_p" else f"from {least:g}"
        _refuse(f"decoding {name} must be {wanted} {low} to {most:g}; it is {value!r}.")
    return value


def _refuse(message: str) -> None:
    raise DomainError(message, fields={"decoding": message})
