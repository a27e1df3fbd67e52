"""The form of every error (RFC 9457)."""

from typing import Any

from pydantic import BaseModel, Field


class FieldErrorView(BaseModel):
    pointer: str = Field(description="where in the request (RFC 6901)")
    code: str
    message: str
    allowed: list[Any] | None = Field(None, description="what would be taken, or the nearest to it")


class Problem(BaseModel):
    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="stable, for programs")
    retryable: bool = Field(description="whether the same request may succeed later")
    request_id: str | None
    errors: list[FieldErrorView] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "model": Problem,
        "content": {"application/problem+json": {}},
    }
    for status, text in (("4XX", "the request cannot be served"), ("5XX", "something failed here"))
}
