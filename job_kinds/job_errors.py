"""Mapping of exceptions raised during a job to retryable faults or a user-facing JobError."""

from sqlalchemy.exc import InterfaceError, OperationalError

from core.errors import JobError, ModalityMissing, StorageFull, Unavailable
from core.storage import DISK_FULL_ERRNOS, ObjectCorrupted
from models import device

# The database or the object store is unavailable: the job resumes later from its checkpoint.
TRANSIENT_ERRORS = (OperationalError, InterfaceError, Unavailable)


def as_job_error(error: Exception) -> JobError:
    """Return the error for the client; the text of an unexpected error is not disclosed."""
    if isinstance(error, JobError):
        return error
    if isinstance(error, ModalityMissing):
        return JobError("internal", error.detail)
    if isinstance(error, ObjectCorrupted):
        return JobError("dataset_unreadable", f"{error} Upload the dataset again.")
    if isinstance(error, StorageFull) or (
        isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS
    ):
        return JobError(
            "disk_full",
            "The disk is full, so the job cannot save its files. Free disk space and retry.",
        )
    if device.is_out_of_memory(error):
        return JobError(
            "out_of_memory", "The job ran out of memory. For a training job, reduce `batch_size`."
        )
    return JobError("internal", "Internal error in the worker; see its log for details.")
