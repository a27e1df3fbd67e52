"""Entry point of `python -m worker [queue …]`."""

import os
import sys

from worker.main import main

# Somebody waits for the responses of an API on the same machine, and nobody for a single step of
# training. On a machine of its own, a worker is as fast as with another priority.
NICENESS = 10

os.nice(NICENESS)
main([queue for queue in sys.argv[1:] if queue])
