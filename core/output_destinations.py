"""Destinations to which a generation job may copy its files.

The operator lists them in `allowed_output_uris`. Workers open them with their own credentials.
"""

from core import process_folder
from core.errors import FieldError, ValidationFailed
from core.settings import get_settings
from core.storage import Storage


def check_output_uri(url: str, pointer: str) -> None:
    """Raise ValidationFailed unless `url` is an allowed destination or a folder inside one."""
    segments = url.partition("://")[2].split("/")
    # Dots, escapes and backslashes could leave an allowed folder.
    is_plain = not {"..", "."} & set(segments) and not set("%?#\\") & set(url)
    allowed = get_settings().allowed_output_uris
    if not is_plain or not any(_is_within(url, parent) for parent in allowed):
        error = FieldError(
            pointer, "not_allowed", "The server does not allow this output destination."
        )
        raise ValidationFailed(error.message, code="output_uri_not_allowed", field_errors=[error])


def open_destination(url: str) -> Storage:
    return Storage.from_url(url, process_folder.get())


def _is_within(url: str, parent: str) -> bool:
    return f"{url.rstrip('/')}/".startswith(f"{parent.rstrip('/')}/")
