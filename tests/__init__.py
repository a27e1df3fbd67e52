"""Tests of the service.

This package sets the environment of all test processes before anything else is imported.
"""

import os
import shutil
from pathlib import Path

MEMORY, ROOM_BYTES = Path("/dev/shm"), 2 * 1024**3  # noqa: S108 - pytest makes a folder of its own

# Each core has a process, and the networks are so small that threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# On a disk, half of the time of a test with few files is spent on syncing and deleting them.
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
