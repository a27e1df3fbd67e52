"""Problem document: the body of every error response (RFC 9457)."""

from pydantic import BaseModel, ConfigDict, Field


class FieldErrorView(BaseModel):
    pointer: str = Field(description="JSON Pointer to the field in the request (RFC 6901).")
    code: str = Field(description="Stable code of the error.")
    message: str = Field(description="Explanation for people.")
    allowed: list[str | int | float] | None = Field(
        None, description="Some allowed values, or those closest to the sent one."
    )


class DatasetProblem(BaseModel):
    """Reason why a dataset failed: a problem document without the request."""

    # Problems may have further fields, such as the limit that is exceeded.
    model_config = ConfigDict(extra="allow")

    type: str = Field(description="URN of the problem type: `urn:semblance:problem:{code}`.")
    title: str = Field(description="Short name of the problem type.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="Explanation of this error for people.")
    code: str = Field(description="Stable code of the problem, for use in programs.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    errors: list[FieldErrorView] | None = Field(None, description="Errors of individual fields.")


class Problem(DatasetProblem):
    """An error, and the request that it answers."""

    instance: str = Field(description="Path of the request.")
    request_id: str | None = Field(description="Id of the request in the service's log.")
