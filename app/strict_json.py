"""JSON parser for untrusted input that follows RFC 8259 strictly.

Python's parser accepts NaN, duplicate names, lone surrogates and any nesting depth. All of these
cause errors in later code, so this parser rejects them.
"""

import json
import math
from typing import Any, NoReturn

from core.errors import BadRequest

MAX_DEPTH = 32


def loads(body: bytes, source: str = "The body") -> Any:
    """Parse a JSON text; raise BadRequest with a specific code if it is not valid.

    `source` is the subject of the message, such as "The form field `meta`".
    """
    if not body.strip():
        raise BadRequest(f"{source} is empty. Send a JSON document.", code="body_empty")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{source} is not valid UTF-8.", code="json_invalid") from error
    if text.startswith("\ufeff"):
        raise BadRequest(
            f"{source} begins with a byte order mark. Send UTF-8 without it.", code="json_invalid"
        )
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_reject_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
        )
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"{source} is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            code="json_invalid",
        ) from error
    return value


def _check_depth(text: str) -> None:
    # Brackets outside strings are counted first, because Python's parser is recursive.
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
                raise BadRequest(
                    f"The JSON document is nested more than {MAX_DEPTH} levels deep.",
                    code="json_too_deep",
                )
        elif character in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise BadRequest("A JSON object has the same name twice.", code="json_duplicate_key")
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
        raise BadRequest("A JSON string contains a NUL character.", code="text_invalid")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRequest("A JSON string contains a lone surrogate.", code="text_invalid") from error


def _reject_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is not a JSON number.", code="number_not_finite")


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadRequest("A number is too large for a 64-bit float.", code="number_not_finite")
    return number


def _parse_int(digits: str) -> int:
    if len(digits) > 20:
        raise BadRequest("An integer has more than 20 characters.", code="number_too_long")
    return int(digits)
