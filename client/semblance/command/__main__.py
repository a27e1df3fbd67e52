"""`python -m semblance.command`, the same as `semblance`."""

from semblance.command.main import main

main()
