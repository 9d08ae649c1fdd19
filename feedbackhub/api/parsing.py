"""How the API reads what it is sent."""

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser, get_encoding
from rest_framework.utils.json import strict_constant

from feedbackhub.core.json_reading import json_read


class BodyParser(JSONParser):
    """DRF's parser of JSON bodies; what is nested too deeply is a 400 as well."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        encoding = get_encoding(parser_context or {})
        try:
            return json_read(stream.read().decode(encoding), parse_constant=strict_constant)
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from error
