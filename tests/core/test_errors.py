"""Error classes and their problem documents."""

from collections.abc import Iterator

import pytest

from core.errors import (
    FieldError,
    JobError,
    LargerThanQuota,
    QuotaExceeded,
    SemblanceError,
    ValidationFailed,
)


def descendants(kind: type[SemblanceError]) -> Iterator[type[SemblanceError]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


@pytest.mark.parametrize("kind", list(descendants(SemblanceError)))
def test_every_error_has_a_status_a_title_and_a_code(kind: type[SemblanceError]) -> None:
    arguments = {QuotaExceeded: (1, "jobs"), LargerThanQuota: (1, 2)}.get(kind, ())
    problem = kind("x", *arguments).to_problem()
    assert 400 <= problem["status"] < 600
    assert problem["title"]
    assert problem["type"] == f"urn:semblance:problem:{problem['code']}"


def test_field_errors_appear_in_the_problem_with_their_pointers() -> None:
    field_error = FieldError("/labels/x", "unknown_label", "no such label", ("y",))
    assert ValidationFailed("no", field_errors=[field_error]).to_problem()["errors"] == [
        {
            "pointer": "/labels/x",
            "code": "unknown_label",
            "message": "no such label",
            "allowed": ("y",),
        }
    ]


def test_a_job_error_needs_a_defined_code() -> None:
    with pytest.raises(ValueError, match="surprise is not a job error code"):
        JobError("surprise", "x")
