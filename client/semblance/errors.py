"""Exceptions that the client raises; all are a SemblanceError."""

from typing import Any


class SemblanceError(Exception):
    """Base class of all errors of the client."""


class ConfigurationError(SemblanceError):
    """No API key is configured, or the stored login cannot be read."""


class UnreachableError(SemblanceError):
    """The service does not answer, or the connection was lost for longer than `patience`."""


class APIError(SemblanceError):
    """The service returned an error.

    `document` is the complete problem document (RFC 9457).
    """

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.status = status
        self.document = document
        self.code: str = document.get("code", "")
        detail: str = document.get("detail", f"HTTP {status}")
        errors = document.get("errors") or []
        if len(errors) == 1 and errors[0]["message"] in detail:
            errors = []  # the detail says the same
        lines = [f"  {error['pointer']}: {error['message']}" for error in errors]
        super().__init__("\n".join([detail, *lines]))


class JobFailedError(SemblanceError):
    """The job failed or was cancelled.

    `job` is the job as the service last returned it.
    """

    def __init__(self, job: Any) -> None:
        self.job = job
        super().__init__((job.get("error") or {}).get("detail") or f"The job is {job['state']}.")


class ChecksumError(SemblanceError):
    """A downloaded file differs from the checksum that the service states."""


class ContentChangedError(SemblanceError):
    """A download was interrupted, and the service now sends other bytes than before."""


class UnknownArchitectureError(SemblanceError):
    """The service has no architecture of this name for the dataset's modality."""
