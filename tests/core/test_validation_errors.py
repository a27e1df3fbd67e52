"""Messages about values that have none of the types of a field."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.validation_errors import MAX_FIELD_ERRORS, body_validation_failed


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int | None = None
    cpu_seconds: float | None = None


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    budget: Limits | None = None
    relations: bool | list[str] | Literal["auto"] = True
    patience: Annotated[int, Field(gt=0)] | Literal["auto"] = "auto"


def message_of(body: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(body)
    (error,) = body_validation_failed(caught.value, Body, body).field_errors
    return error.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"relations": 2.5}, "Must be a valid boolean, a JSON array or 'auto'."),
        ({"patience": 0}, "Must be greater than 0."),
        ({"relations": [3]}, "Must be a valid string."),
    ],
)
def test_the_message_names_all_types_of_a_field_unless_the_value_has_one(
    body: dict[str, Any], message: str
) -> None:
    assert message_of(body) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"cpu_seconds": 60}, 'It is a field of `budget`: `{"cpu_seconds": …}`.'),
        ({"budget": {"cpu_second": 60}}, "Did you mean `cpu_seconds`?"),
        ({"budgett": {"cpu_seconds": 60}}, "Did you mean `budget`?"),
        ({"budget": {"patience": 3}}, "Valid ones: `cpu_seconds`, `steps`."),
    ],
)
def test_an_unknown_field_of_an_inner_object_is_answered_with_this_object(
    body: dict[str, Any], message: str
) -> None:
    assert message_of(body) == f"Unknown field. {message}"


def test_only_the_first_of_many_errors_are_converted() -> None:
    body = {"patience": 1, "relations": list(range(2_000))}
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(body)
    failed = body_validation_failed(caught.value, Body, body)
    assert len(failed.field_errors) == MAX_FIELD_ERRORS
    assert "(and at least 9" in failed.detail
