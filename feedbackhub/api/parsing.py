"""How the API reads what it is sent."""

import json
import re
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser, get_encoding
from rest_framework.utils.json import strict_constant

from feedbackhub.core.json_reading import json_read

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BodyParser(JSONParser):
    """DRF's parser of JSON bodies; what is nested too deeply, or holds half a character, is a 400 as well."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        encoding = get_encoding(parser_context or {})
        try:
            text = stream.read().decode(encoding)
            body = json_read(text, parse_constant=strict_constant)
            if SURROGATE.search(text):
                json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):x}"
            raise ParseError(f"JSON parse error - {half} is half a character (a lone surrogate)") from error
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from error
        return body
