"""What goes wrong under a job: what passes, and what ends it, in the customer's words."""

import errno

from sqlalchemy.exc import InterfaceError, OperationalError

from core.errors import JobError, StorageFull, Unavailable
from core.storage import ObjectCorrupted
from models import oom

# The database or the store went away under the job, which goes on later from what is saved.
TRANSIENT_ERRORS = (OperationalError, InterfaceError, Unavailable)

DISK_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def as_job_error(error: Exception) -> JobError:
    """What is not foreseen says nothing of its text."""
    if isinstance(error, JobError):
        return error
    if isinstance(error, ObjectCorrupted):
        return JobError("dataset_unreadable", f"{error}; upload the dataset again")
    if isinstance(error, StorageFull) or (
        isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS
    ):
        return JobError("disk_full", "no room was left for what the job saves")
    if oom.is_out_of_memory(error):
        return JobError("out_of_memory", "the job did not fit into memory")
    return JobError("internal", "something went wrong in the worker; its log says what")
