"""Libraries that the client uses but does not depend on."""

from importlib import import_module
from typing import Any


def require(module: str, extra: str) -> Any:
    """Import an optional library.

    Raises:
        ImportError: It is not installed; the message names the extra that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ImportError(
            f'This needs {library}: pip install "semblance-client[{extra}]"'
        ) from error
