"""JSON as RFC 8259 has it. Python's own reader takes NaN, doubled names, half a surrogate pair
and any depth, and each of them breaks something later: here they are refused at the door."""

import json
import math
from typing import Any, NoReturn

from core.errors import BadRequest

MAX_DEPTH = 32


def loads(body: bytes) -> Any:
    """Raises BadRequest with a code that says what is wrong with the text."""
    if not body.strip():
        raise BadRequest("the body is empty; JSON is expected", code="body_empty")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8", code="json_invalid") from error
    if text.startswith("\ufeff"):
        raise BadRequest("the body begins with a byte order mark", code="json_invalid")
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            code="json_invalid",
        ) from error
    return value


def _check_depth(text: str) -> None:
    """Counts brackets outside strings, before the recursive reader meets them."""
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadRequest(f"nested deeper than {MAX_DEPTH}", code="json_too_deep")
        elif character in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise BadRequest("a name stands twice in one object", code="json_duplicate_key")
        _check_text(name)
        result[name] = value
        _check_value(value)
    return result


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, list):
        for item in value:
            _check_value(item)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise BadRequest("a text holds the character NUL", code="text_invalid")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRequest("a text holds half a surrogate pair", code="text_invalid") from error


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is no JSON number", code="number_not_finite")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadRequest("a number is too large", code="number_not_finite")
    return number


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise BadRequest("an integer has more than 20 digits", code="number_too_long")
    return int(digits)
