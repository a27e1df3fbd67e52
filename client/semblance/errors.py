"""Exceptions that the client raises."""

from typing import Any


class APIError(Exception):
    """The service returned an error.

    `document` is the complete problem document (RFC 9457).
    """

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.status = status
        self.document = document
        self.code = document.get("code", "")
        field_errors = [
            f"  {error['pointer']}: {error['message']}" for error in document.get("errors", [])
        ]
        super().__init__("\n".join([document.get("detail", f"HTTP {status}"), *field_errors]))


class JobFailedError(Exception):
    """The job failed or was cancelled.

    `job` is the job as the service last returned it.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        super().__init__((job.get("error") or {}).get("detail") or f"The job is {job['state']}.")


class ChecksumError(Exception):
    """The checksum of a downloaded file differs from the one in the job's manifest."""


class UnknownArchitectureError(Exception):
    """The service has no architecture of this name for the dataset's modality."""
