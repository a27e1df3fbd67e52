"""Jobs that come in over HTTP and are run here, in this process, one at a time."""

from tests.app.conftest import anonymous, client

__all__ = ["anonymous", "client"]
