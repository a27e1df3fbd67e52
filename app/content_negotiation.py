"""Content negotiation: `?format=` first, then the Accept header (RFC 9110, 12.5.1)."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Header

from core.errors import NotAcceptable

# Not a parameter of the OpenAPI document, which derives it from the media types of responses.
AcceptHeader = Annotated[str | None, Header(include_in_schema=False)]


def negotiate(
    offered: Mapping[str, str], *, format: str | None, accept: str | None, default: str
) -> str:
    """Return the name of the representation to send.

    Args:
        offered: Media types by the name of their representation.
        format: Value of the query parameter `format`, which takes precedence over `accept`.
        accept: Value of the Accept header.
        default: Name of the representation that wins when several have the same weight.

    Raises:
        NotAcceptable: No representation matches. The error lists the available ones.
    """
    if format is not None:
        if format in offered:
            return format
        raise _unacceptable("The requested `format` is not available.", offered)
    ordered = [default, *(name for name in offered if name != default)]
    best, best_quality = None, 0.0
    for name in ordered:
        quality = _quality(offered[name], _ranges(accept or "*/*"))
        if quality > best_quality:
            best, best_quality = name, quality
    if best is None:
        raise _unacceptable("The requested representation is not available.", offered)
    return best


def _ranges(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(",")[:64]:
        media, *parameters = (word.strip() for word in part.split(";"))
        ranges.append((media.lower(), _weight(parameters)))
    return ranges


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def _quality(media: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the weight of the most specific range that covers the media type."""
    for pattern in (media, media.split("/")[0] + "/*", "*/*"):
        weights = [weight for name, weight in ranges if name == pattern]
        if weights:
            return max(weights)
    return 0.0


def _unacceptable(problem: str, offered: Mapping[str, str]) -> NotAcceptable:
    names = ", ".join(f"`{name}` ({media})" for name, media in offered.items())
    return NotAcceptable(
        f"{problem} Available are: {names}.",
        available=[{"format": name, "media_type": media} for name, media in offered.items()],
    )
