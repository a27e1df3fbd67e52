"""Every failure that a caller can act on, each with its HTTP status and a stable code.

SemblanceError
  BadRequest 400            the request cannot be parsed
  Unauthorized 401          no key, or none that is known
  Forbidden 403             the key may not do this
  NotFound 404              the id or name names nothing
  NotAcceptable 406         no such representation
  Conflict 409              well formed, but the resource is in the wrong state
    NotReady                it will be, later
    ResourceInUse                   something else needs it
    ActionNotAllowed          the job's state does not allow the action
  TooLarge 413              over a limit in bytes
  UnsupportedMedia 415      a content type or encoding that is not read here
  ValidationFailed 422               a field's value cannot be used
    DatasetUnreadable       the uploaded files cannot be learned from
    UnknownLabel            the model was not trained on the label
  Unavailable 503           try again later
  StorageFull 507           no room left

JobError                    why a job ended as failed (`job.error`), with codes of its own

Messages name the field, the file or the limit; they never hold a value out of a customer's data
beyond names that the customer gave, never a path, never a secret.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong, and where. `pointer` is an RFC 6901 pointer into the request."""

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
    """The root. A subclass states its status; the tests hold that none forgets."""

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
        """The members of the problem document (RFC 9457), less `instance` and `request_id`."""
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
    title = "A key is needed"
    code = "unauthorized"


class Forbidden(SemblanceError):
    status = 403
    title = "The key may not do this"
    code = "forbidden"


class NotFound(SemblanceError):
    status = 404
    title = "Not found"
    code = "not_found"


class NotAcceptable(SemblanceError):
    status = 406
    title = "No such representation"
    code = "not_acceptable"


class Conflict(SemblanceError):
    status = 409
    title = "The state does not allow this"
    code = "conflict"


class NotReady(Conflict):
    """Right request, too early: the dataset is still validating, the model still training."""

    code = "not_ready"
    retryable = True


class ResourceInUse(Conflict):
    """Deleting what a live job or another resource needs."""

    code = "in_use"


class ActionNotAllowed(Conflict):
    """`allowed` lists the actions that the job's state does allow."""

    code = "action_not_allowed"


class TooLarge(SemblanceError):
    status = 413
    title = "Over a limit"
    code = "too_large"


class UnsupportedMedia(SemblanceError):
    status = 415
    title = "This content type is not read here"
    code = "unsupported_media_type"


class RangeNotSatisfiable(SemblanceError):
    status = 416
    title = "The range lies outside of the file"
    code = "range_not_satisfiable"


class ValidationFailed(SemblanceError):
    status = 422
    title = "The request cannot be used"
    code = "invalid"


class DatasetUnreadable(ValidationFailed):
    """The uploaded files cannot be learned from; the field errors name the files or entries."""

    title = "The dataset cannot be read"
    code = "dataset_unreadable"


class UnknownLabel(ValidationFailed):
    code = "unknown_label"


class Unavailable(SemblanceError):
    status = 503
    title = "Not available right now"
    code = "unavailable"
    retryable = True


class StorageFull(SemblanceError):
    status = 507
    title = "No room left"
    code = "storage_full"
    retryable = True


class JobError(Exception):
    """Why a job failed. `code` is one of CODES; `detail` is written for the customer."""

    CODES: ClassVar[frozenset[str]] = frozenset(
        {
            "worker_lost",
            "out_of_memory",
            "disk_full",
            "non_finite_loss",
            "not_learning",
            "collapsed",
            "dataset_unreadable",
            "model_unreadable",
            "acceptance_rate_too_low",
            "dp_guarantee_lost",
            "internal",
        }
    )

    def __init__(self, code: str, detail: str) -> None:
        if code not in self.CODES:
            raise ValueError(f"{code} is no job error code")
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def to_problem(self) -> dict[str, Any]:
        """What stands in `job.error`: the same form as an HTTP problem, without a status."""
        return {
            "type": f"urn:semblance:problem:{self.code}",
            "title": "The job failed",
            "detail": self.detail,
            "code": self.code,
            "retryable": self.code in {"worker_lost", "out_of_memory", "disk_full", "internal"},
        }
