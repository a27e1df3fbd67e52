"""Problem document: the body of every error response (RFC 9457)."""

from typing import Any

from pydantic import BaseModel, Field


class FieldErrorView(BaseModel):
    pointer: str = Field(description="JSON Pointer to the field in the request (RFC 6901).")
    code: str = Field(description="Stable code of the error.")
    message: str = Field(description="Explanation for people.")
    allowed: list[Any] | None = Field(
        None, description="Some allowed values, or those closest to the sent one."
    )


class Problem(BaseModel):
    type: str = Field(description="URN of the problem type: `urn:semblance:problem:{code}`.")
    title: str = Field(description="Short name of the problem type.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="Explanation of this error for people.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable code of the problem, for use in programs.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    request_id: str | None = Field(description="Id of the request in the service's log.")
    errors: list[FieldErrorView] | None = Field(None, description="Errors of individual fields.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "model": Problem,
        "content": {"application/problem+json": {}},
    }
    for status, text in (
        ("4XX", "The request cannot be served."),
        ("5XX", "The service failed."),
    )
}
