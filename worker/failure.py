"""What goes wrong under a job: what passes, and what ends it, in the customer's words."""

import errno

from sqlalchemy.exc import InterfaceError, OperationalError

from core.errors import JobError, StorageFull, Unavailable
from core.storage import DamagedObject
from models import memory

# The database or the store went away under the job, which goes on later from what is saved.
PASSING = (OperationalError, InterfaceError, Unavailable)

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def as_job_error(error: Exception) -> JobError:
    """What is not foreseen says nothing of its text."""
    if isinstance(error, JobError):
        return error
    if isinstance(error, DamagedObject):
        return JobError("dataset_unreadable", f"{error}; upload the dataset again")
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in NO_ROOM):
        return JobError("disk_full", "no room was left for what the job saves")
    if memory.is_exhausted(error):
        return JobError("out_of_memory", "the job did not fit into memory")
    return JobError("internal", "something went wrong in the worker; its log says what")
