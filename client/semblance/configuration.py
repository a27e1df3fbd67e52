"""Address and API key of the service: environment variables, then the stored login."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from semblance.errors import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Configuration:
    url: str
    key: str


def login_file() -> Path:
    """Return the file that `semblance login` writes, in the user's configuration folder."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "semblance" / "login.json"


def state_folder() -> Path:
    """Return the folder of what one process leaves for the next, such as unfinished uploads."""
    folder = os.environ.get("XDG_STATE_HOME")
    return (Path(folder) if folder else Path.home() / ".local" / "state") / "semblance"


def read_configuration(url: str | None = None, key: str | None = None) -> Configuration:
    """Return the arguments, or else SEMBLANCE_URL and SEMBLANCE_KEY, or else the stored login.

    The stored key is used only for the stored address: a key must not reach another service.

    Raises:
        ConfigurationError: There is no key, or the stored login cannot be read.
    """
    stored = _read_login()
    url = url or os.environ.get("SEMBLANCE_URL") or (stored.url if stored else DEFAULT_URL)
    key = key or os.environ.get("SEMBLANCE_KEY")
    if key is None and stored is not None and stored.url.rstrip("/") == url.rstrip("/"):
        key = stored.key
    if not key:
        raise ConfigurationError(
            f"There is no API key for {url}. Set SEMBLANCE_KEY, or run `semblance login`."
        )
    return Configuration(url, key)


def _read_login() -> Configuration | None:
    file = login_file()
    try:
        stored = json.loads(file.read_text())
        return Configuration(stored["url"], stored["key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"The stored login in {file} cannot be read. Run `semblance login` again."
        ) from error


def store_login(configuration: Configuration) -> Path:
    """Write the login with access for the user alone, and return the file."""
    file = login_file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A temporary file has the mode 0600 from the start, and replaces the old one at once.
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as out:
        json.dump({"url": configuration.url, "key": configuration.key}, out)
    Path(out.name).replace(file)
    return file
