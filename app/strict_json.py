"""JSON parser for untrusted input: pydantic's parser, and a check of the parsed values.

pydantic's parser accepts numbers that are not finite, integers of thousands of digits and NUL
characters, which PostgreSQL cannot store. These cause errors in later code. If an object has the
same name twice, the last value is used.
"""

import codecs
import math
from typing import Any

from pydantic_core import from_json

from core.errors import BadRequest, FieldError, json_pointer

MAX_INTEGER = 10**20  # all 64-bit integers are smaller
CODES = {  # by the parser's message
    "recursion limit exceeded": "json_too_deep",  # more than 200 levels
    "number out of range": "number_too_long",
    "hex escape": "text_invalid",  # a lone surrogate
}


def loads(body: bytes, source: str = "The body") -> Any:
    """Parse a JSON text; raise BadRequest with a specific code if it is not valid.

    `source` is the subject of the message, such as "The form field `meta`".
    """
    if not body.strip():
        raise BadRequest(f"{source} is empty. Send a JSON document.", code="body_empty")
    if body.startswith(codecs.BOM_UTF8):
        raise BadRequest(
            f"{source} begins with a byte order mark. Send UTF-8 without it.", code="json_invalid"
        )
    try:
        value = from_json(body)
    except ValueError as error:
        raise BadRequest(f"{source} is not valid JSON: {error}.", code=_code(error)) from error
    _check_values(value)
    return value


def _code(error: ValueError) -> str:
    message = str(error)
    return next((code for text, code in CODES.items() if text in message), "json_invalid")


def _check_values(document: Any) -> None:
    values: list[tuple[tuple[str, ...], Any]] = [((), document)]
    while values:
        path, value = values.pop()
        if isinstance(value, str):
            if "\x00" in value:
                raise _invalid(path, "A JSON string contains a NUL character.", "text_invalid")
        elif isinstance(value, dict):
            values += [((*path, name), item) for name, item in value.items()]
            values += [(path, name) for name in value]  # checked before they are part of a path
        elif isinstance(value, list):
            values += [((*path, str(index)), item) for index, item in enumerate(value)]
        elif isinstance(value, float):
            if not math.isfinite(value):
                message = "A number is not finite as a 64-bit float."
                raise _invalid(path, message, "number_not_finite")
        elif isinstance(value, int) and abs(value) >= MAX_INTEGER:
            raise _invalid(path, "An integer has more than 20 digits.", "number_too_long")


def _invalid(path: tuple[str, ...], message: str, code: str) -> BadRequest:
    pointer = json_pointer(*path)
    detail = f"{pointer}: {message}" if pointer else message
    return BadRequest(detail, code=code, field_errors=[FieldError(pointer, code, message)])
