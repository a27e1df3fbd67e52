"""Errors that a caller can act on, each with an HTTP status and a stable code.

SemblanceError
  BadRequest 400            the request cannot be parsed
  Unauthorized 401          no API key, or an invalid one
  Forbidden 403             the key lacks a scope
  NotFound 404              no resource has this id or name
  NotAcceptable 406         no representation matches the Accept header
  Conflict 409              well formed, but the resource is in the wrong state
    NotReady                the resource is not in the required state yet
    ResourceInUse           another resource needs it
    ActionNotAllowed        the job's state does not allow the action
    ModalityMissing         the kind of data is no longer installed
  TooLarge 413              a limit in bytes is exceeded
  UnsupportedMedia 415      the content type or encoding is not supported
  RangeNotSatisfiable 416   the byte range starts after the end of the file
  ValidationFailed 422      the value of a field cannot be used
    DatasetUnreadable       the uploaded files cannot be used for training
    UnknownLabel            the model was not trained on the label
  QuotaExceeded 429         the key or tenant has used up its share
  Unavailable 503           temporary; retry later
  StorageFull 507           no disk space left

JobError                    the reason why a job failed (`job.error`), with separate codes

Messages name the field, the file or the limit. They may repeat names that the customer chose, but
never other values from a customer's data, a path or a secret.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self, get_args


def json_pointer(*parts: str) -> str:
    """Return the pointer (RFC 6901) to a field of the request, given the names on its path."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


@dataclass(frozen=True)
class FieldError:
    """One invalid field. `pointer` is a JSON pointer (RFC 6901) into the request."""

    pointer: str
    code: str
    message: str
    allowed: tuple[str | int | float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        fields = asdict(self)
        if self.allowed is None:
            del fields["allowed"]
        return fields


class SemblanceError(Exception):
    """Base class of the HTTP errors. Each subclass defines `status`, `title` and `code`."""

    status: ClassVar[int]
    title: ClassVar[str]
    code: str
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        field_errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.field_errors = tuple(field_errors)
        self.headers = dict(headers or {})
        self.extra = extra

    def to_problem(self) -> dict[str, Any]:
        """Return the problem document (RFC 9457) without `instance` and `request_id`."""
        problem = {
            "type": f"urn:semblance:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
            **self.extra,
        }
        if self.field_errors:
            problem["errors"] = [error.to_dict() for error in self.field_errors]
        return problem


class BadRequest(SemblanceError):
    status = 400
    title = "The request cannot be parsed"
    code = "bad_request"


class Unauthorized(SemblanceError):
    status = 401
    title = "API key required"
    code = "unauthorized"


class Forbidden(SemblanceError):
    status = 403
    title = "The API key lacks a scope"
    code = "forbidden"


class NotFound(SemblanceError):
    status = 404
    title = "Not found"
    code = "not_found"

    def __init__(
        self, detail: str, *, suggest: Callable[[], str] | None = None, **options: Any
    ) -> None:
        """`suggest` returns a sentence with similar names, for callers that may list them."""
        super().__init__(detail, **options)
        self.suggest = suggest


class NotAcceptable(SemblanceError):
    status = 406
    title = "Not acceptable"
    code = "not_acceptable"


class Conflict(SemblanceError):
    status = 409
    title = "Conflict with the current state"
    code = "conflict"


class NotReady(Conflict):
    """A valid request that came too early: the dataset is validating or the model is training."""

    code = "not_ready"
    retryable = True


class ResourceInUse(Conflict):
    """The resource cannot be deleted, because an active job or another resource needs it."""

    code = "in_use"


class ActionNotAllowed(Conflict):
    """The job's state does not allow the action; `allowed` lists the actions that it allows."""

    code = "action_not_allowed"


class ModalityMissing(Conflict):
    """No installed package provides the modality of this dataset or model."""

    code = "modality_missing"


class TooLarge(SemblanceError):
    status = 413
    title = "Size limit exceeded"
    code = "too_large"


class UnsupportedMedia(SemblanceError):
    status = 415
    title = "Unsupported media type"
    code = "unsupported_media_type"


class RangeNotSatisfiable(SemblanceError):
    status = 416
    title = "Range not satisfiable"
    code = "range_not_satisfiable"


class ValidationFailed(SemblanceError):
    status = 422
    title = "Validation failed"
    code = "invalid"

    @classmethod
    def of_field(
        cls,
        pointer: str,
        field_code: str,
        message: str,
        allowed: tuple[str | int | float, ...] | None = None,
        *,
        code: str | None = None,
    ) -> Self:
        """Return the error of a single field, whose message is that of the error, too."""
        field_error = FieldError(pointer, field_code, message, allowed)
        return cls(message, code=code, field_errors=[field_error])


class DatasetUnreadable(ValidationFailed):
    """The uploaded files cannot be used for training; field errors name the files or entries."""

    title = "The dataset cannot be read"
    code = "dataset_unreadable"


class UnknownLabel(ValidationFailed):
    code = "unknown_label"


class QuotaExceeded(SemblanceError):
    """The key or tenant has used up a quota, `name`, such as `waiting_jobs`.

    Headers show the quota (draft-ietf-httpapi-ratelimit-headers). `remedy` is a sentence that says
    what to do.
    """

    status = 429
    title = "Quota exceeded"
    code = "quota_exceeded"
    retryable = True

    def __init__(
        self,
        name: str,
        limit: int,
        content: str,
        *,
        remedy: str = "Retry later.",
        retry_s: int = 60,
        window_s: int | None = None,
    ) -> None:
        window = "" if window_s is None else f";w={window_s}"
        super().__init__(
            f"The quota `{name}` allows {limit} {content}. {remedy}",
            headers={
                "Retry-After": str(retry_s),
                "RateLimit-Policy": f'"{name}";q={limit}{window}',
                "RateLimit": f'"{name}";r=0;t={retry_s}',
            },
            quota=name,
            limit=limit,
        )


class LargerThanQuota(SemblanceError):
    """A quota of bytes is smaller than what the request would store, so waiting does not help."""

    status = 413
    title = "Larger than the quota"
    code = "larger_than_quota"

    def __init__(self, name: str, limit: int, size: int) -> None:
        super().__init__(
            f"This needs {size:,} bytes, but the quota `{name}` allows {limit:,} in all. Send "
            "less, or ask the operator for a larger quota.",
            quota=name,
            limit=limit,
            size=size,
        )


class Unavailable(SemblanceError):
    status = 503
    title = "Temporarily unavailable"
    code = "unavailable"
    retryable = True


class StorageFull(SemblanceError):
    status = 507
    title = "Storage full"
    code = "storage_full"
    retryable = True


JobErrorCode = Literal[
    "worker_lost",
    "device_lost",
    "out_of_memory",
    "disk_full",
    "non_finite_loss",
    "not_learning",
    "collapsed",
    "dataset_unreadable",
    "model_unreadable",
    "acceptance_rate_too_low",
    "dp_guarantee_lost",
    "identifiers_exhausted",
    "internal",
]


class JobError(Exception):
    """The reason why a job failed. `detail` is shown to the customer."""

    CODES: ClassVar[frozenset[str]] = frozenset(get_args(JobErrorCode))

    RETRYABLE: ClassVar[frozenset[str]] = frozenset(
        {"worker_lost", "device_lost", "out_of_memory", "disk_full", "internal"}
    )

    def __init__(self, code: JobErrorCode, detail: str) -> None:
        if code not in self.CODES:
            raise ValueError(f"{code} is not a job error code.")
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def to_problem(self) -> dict[str, Any]:
        """Return the value of `job.error`: a problem document without a status."""
        return {
            "type": f"urn:semblance:problem:{self.code}",
            "title": "The job failed",
            "detail": self.detail,
            "code": self.code,
            "retryable": self.code in self.RETRYABLE,
        }
