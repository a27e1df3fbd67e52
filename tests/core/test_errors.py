"""The tree of errors."""

from collections.abc import Iterator

import pytest

from core.errors import FieldError, JobError, SemblanceError, ValidationFailed


def descendants(kind: type[SemblanceError]) -> Iterator[type[SemblanceError]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


@pytest.mark.parametrize("kind", list(descendants(SemblanceError)))
def test_every_error_states_its_status_title_and_code(kind: type[SemblanceError]) -> None:
    problem = kind("x").to_problem()
    assert 400 <= problem["status"] < 600
    assert problem["title"]
    assert problem["type"] == f"urn:semblance:problem:{problem['code']}"


def test_faults_stand_in_the_problem_with_their_pointers() -> None:
    fault = FieldError("/labels/x", "unknown_label", "no such label", ("y",))
    assert ValidationFailed("no", field_errors=[fault]).to_problem()["errors"] == [
        {
            "pointer": "/labels/x",
            "code": "unknown_label",
            "message": "no such label",
            "allowed": ("y",),
        }
    ]


def test_a_job_fails_with_a_known_code_only() -> None:
    with pytest.raises(ValueError, match="surprise is not a job error code"):
        JobError("surprise", "x")
