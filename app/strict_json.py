"""JSON parser for untrusted input: pydantic's parser, and a check of the parsed values.

pydantic's parser accepts numbers that are not finite, integers of thousands of digits and NUL
characters, which PostgreSQL cannot store. These cause errors in later code. If an object has the
same name twice, the last value is used.
"""

import codecs
import math
from collections.abc import Iterable
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
    values = [document]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
            values += value  # checked before values of which they are the path
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str):
            if "\x00" in value:
                message = "A JSON string contains a NUL character."
                raise _invalid(document, value, message, "text_invalid")
        elif isinstance(value, float):
            if not math.isfinite(value):
                message = "A number is not finite as a 64-bit float."
                raise _invalid(document, value, message, "number_not_finite")
        elif isinstance(value, int) and abs(value) >= MAX_INTEGER:
            message = "An integer has more than 20 digits."
            raise _invalid(document, value, message, "number_too_long")


def _invalid(document: Any, value: Any, message: str, code: str) -> BadRequest:
    # The paths of all values would take far more memory than the document.
    pointer = json_pointer(*(_path_to(document, value) or ()))
    detail = f"{pointer}: {message}" if pointer else message
    return BadRequest(detail, code=code, field_errors=[FieldError(pointer, code, message)])


def _path_to(document: Any, value: Any) -> tuple[str, ...] | None:
    """Return the path to a value, or to the object that has it as a name; None if it has none."""
    if document is value or (
        isinstance(document, dict) and any(each is value for each in document)
    ):
        return ()
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for name, item in items:
        if (rest := _path_to(item, value)) is not None:
            return str(name), *rest
    return None
