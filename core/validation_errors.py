"""Conversion of pydantic's errors to the field errors that clients see."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.errors import FieldError, ValidationFailed, json_pointer
from core.valid_names import unknown_field

# Clients see these stable codes instead of pydantic's codes.
PYDANTIC_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing",
    "literal_error": "not_allowed",
    "union_tag_invalid": "not_allowed",
    "union_tag_not_found": "missing",
    "enum": "not_allowed",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "string_too_long": "too_long",
    "string_too_short": "too_short",
    "string_pattern_mismatch": "not_allowed",
    "finite_number": "number_not_finite",
}
MESSAGES = {  # JSON's words instead of Python's
    "Field required": "this field is required",
    "must be a valid dictionary": "must be a JSON object",
    "must be a valid dictionary or object to extract fields from": "must be a JSON object",
    "must be a valid list": "must be a JSON array",
    "must be 'auto' or False": 'must be "auto", false or {"patience": n}',
}
MAX_FIELD_ERRORS = 20
MAX_CONVERTED_ERRORS = 100  # a body of a megabyte can have 100,000


def validation_failed(
    errors: Sequence[ErrorDetails], annotation: Any, body: Any, within: str = ""
) -> ValidationFailed:
    """Convert pydantic's errors for a body or query, without the input values.

    The error for an unknown field names the valid ones in `annotation`, the type of the body.
    `within` is the pointer of the body in the request.
    """
    all_errors = [
        _field_error(error, annotation, body, within) for error in errors[:MAX_CONVERTED_ERRORS]
    ]
    by_pointer: dict[str, list[FieldError]] = {}
    for error in all_errors:
        by_pointer.setdefault(error.pointer, []).append(error)
    # The branch whose parts have errors is the one that the value has the type of.
    parents = {p.rpartition("/")[0] for p in by_pointer if p} & by_pointer.keys()
    field_errors = [
        _join_branches(errors) for pointer, errors in by_pointer.items() if pointer not in parents
    ]
    first = field_errors[0]
    at_least = "at least " if len(errors) > MAX_CONVERTED_ERRORS else ""
    more = f" (and {at_least}{len(field_errors) - 1} more)" if len(field_errors) > 1 else ""
    return ValidationFailed(
        f"{first.pointer or 'The body'}: {first.message}{more}",
        code="unknown_field" if first.code == "unknown_field" else "invalid",
        field_errors=field_errors[:MAX_FIELD_ERRORS],
    )


def body_validation_failed(
    error: ValidationError, annotation: Any, body: Any, within: str = ""
) -> ValidationFailed:
    """Convert the error of a body that a route validates itself."""
    return validation_failed(
        error.errors(include_input=False, include_url=False), annotation, body, within
    )


def _location(error: ErrorDetails, body: Any) -> list[str]:
    """Return the path of the field in the request.

    pydantic adds markers to the path, such as the name of a union's branch. They are removed.
    """
    parts: list[str] = []
    for i, part in enumerate(error["loc"]):
        if i == 0 and part in {"body", "query", "path", "header"}:
            if part != "body":
                return [str(name) for name in error["loc"][1:]]
            continue
        in_body = isinstance(body, dict) and part in body
        in_body = in_body or (isinstance(body, list) and isinstance(part, int) and part < len(body))
        if in_body:
            body = body[part]
        elif error["type"] != "missing" or i + 1 < len(error["loc"]):
            continue
        parts.append(str(part))
    return parts


def _field_error(error: ErrorDetails, annotation: Any, body: Any, within: str) -> FieldError:
    error_type, context = error["type"], error.get("ctx", {})
    location = _location(error, body)
    pointer = within + json_pointer(*location)
    message = error["msg"]
    allowed: tuple[str, ...] | None = None
    if error_type.startswith("union_tag"):
        pointer = f"{pointer}/{context['discriminator'].strip(chr(39))}"
        message = "This field is required: it selects the type of the body."
        if error_type == "union_tag_invalid":
            message = "This value does not exist. Send one of the allowed values."
        if "expected_tags" in context:
            allowed = tuple(context["expected_tags"].replace("'", "").split(", "))
            if close_matches := difflib.get_close_matches(str(context["tag"]), allowed, 1):
                message = f"This value does not exist. Did you mean `{close_matches[0]}`?"
    elif error_type == "extra_forbidden":
        return unknown_field(pointer, annotation, body, location)
    code = PYDANTIC_CODES.get(error_type, error_type.split(".")[0])
    return FieldError(pointer, code, _to_sentence(message), allowed)


def _join_branches(errors: list[FieldError]) -> FieldError:
    """Return one error for a field, of which pydantic reports one for each branch of a union.

    If the value has the type of no branch, the message names all of them; else, the error of the
    branch with its type is enough.
    """
    others = [e for e in errors if not e.code.endswith(("_type", "_parsing", "not_allowed"))]
    if others or not all(error.message.startswith("Must be ") for error in errors):
        return (others or errors)[0]
    types = dict.fromkeys(e.message.removeprefix("Must be ").removesuffix(".") for e in errors)
    *most, last = types
    message = f"Must be {', '.join(most)} or {last}." if most else errors[0].message
    return replace(errors[0], message=message)


def _to_sentence(message: str) -> str:
    """Turn a message of pydantic into a sentence: "Input should be less than 5" loses its subject.

    The message is shown next to the field's name, which is the subject.
    """
    message = message.removeprefix("Value error, ").replace("Input should", "must", 1)[:200]
    message = MESSAGES.get(message, message)
    sentence = message[:1].upper() + message[1:]
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
