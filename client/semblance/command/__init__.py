"""The `semblance` command.

Results go to standard output, everything else to standard error.
"""

from semblance.command.main import main

__all__ = ["main"]
