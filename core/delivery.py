"""Where the files of a generation job may be copied to: places that the operator names
(`delivery_places`), which the workers' own credentials open."""

from core.errors import Fault, Invalid
from core.settings import get_settings
from core.storage import Storage


def check(url: str, pointer: str) -> None:
    """Raises Invalid unless `url` is one of the operator's places or a folder in it."""
    steps = url.partition("://")[2].split("/")
    plain = not {"..", "."} & set(steps) and not set("%?#\\") & set(url)
    if not plain or not any(_is_within(url, place) for place in get_settings().delivery_places):
        fault = Fault(pointer, "not_allowed", "not a place that this service delivers to")
        raise Invalid(fault.message, code="delivery_not_allowed", faults=[fault])


def open_place(url: str) -> Storage:
    return Storage.at(url, get_settings().scratch)


def _is_within(url: str, place: str) -> bool:
    return f"{url.rstrip('/')}/".startswith(f"{place.rstrip('/')}/")
