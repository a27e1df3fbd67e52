"""Entry point of `python -m worker [queue …]`."""

import sys

from worker.main import main

main([queue for queue in sys.argv[1:] if queue])
