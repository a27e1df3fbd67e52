"""Entry point of `python -m worker [queue …]`."""

import os
import sys

from worker.main import main

# Somebody waits for the responses of an API on the same machine, and nobody for a single step of
# training. On a machine without other work, the priority makes no difference.
NICENESS = 10

os.nice(NICENESS)
main([queue for queue in sys.argv[1:] if queue])
