"""What can go wrong, in the service's own words."""

from typing import Any


class APIError(Exception):
    """The service answered with a problem document (RFC 9457), kept whole in `document`."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.status = status
        self.document = document
        self.code = document.get("code", "")
        faults = [
            f"  {fault['pointer']}: {fault['message']}" for fault in document.get("errors", [])
        ]
        super().__init__("\n".join([document.get("detail", f"HTTP {status}"), *faults]))


class JobFailedError(Exception):
    """The job ended without success; `job` is its last state."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        super().__init__((job.get("error") or {}).get("detail") or f"the job is {job['state']}")


class ChecksumError(Exception):
    """A file's bytes are not those that the service says it made."""


class UnknownArchitectureError(Exception):
    """The service has no network of this name for data of this kind."""
