"""Tests of the service. What holds for every process that runs some of them is settled here, before
anything else is imported.
"""

import os
import shutil
from pathlib import Path

MEMORY, ROOM_BYTES = Path("/dev/shm"), 2 * 1024**3  # noqa: S108 - pytest makes a folder of its own

# There is a process for each core, and the networks are so small that threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Half of the time of a test that needs few files would go to syncing and deleting them on a disk.
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
