"""Where the files of a generation job may be copied to: places that the operator names
(`allowed_output_uris`), which the workers' own credentials open."""

from core.errors import FieldError, ValidationFailed
from core.settings import get_settings
from core.storage import Storage


def check_output_uri(url: str, pointer: str) -> None:
    """Raises ValidationFailed unless `url` is one of the operator's places or a folder in it."""
    steps = url.partition("://")[2].split("/")
    plain = not {"..", "."} & set(steps) and not set("%?#\\") & set(url)
    if not plain or not any(_is_within(url, place) for place in get_settings().allowed_output_uris):
        fault = FieldError(pointer, "not_allowed", "not a place that this service delivers to")
        raise ValidationFailed(fault.message, code="output_uri_not_allowed", field_errors=[fault])


def open_destination(url: str) -> Storage:
    return Storage.from_url(url, get_settings().scratch)


def _is_within(url: str, place: str) -> bool:
    return f"{url.rstrip('/')}/".startswith(f"{place.rstrip('/')}/")
