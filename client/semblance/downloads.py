"""Responses that are received in several tries. Does not import httpx, which is slow to load."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from semblance.errors import ContentChangedError

if TYPE_CHECKING:
    from hashlib import _Hash

    import httpx


@dataclass
class Download:
    """A response that is received as a stream, in several tries if it has to be.

    `received` bytes with the SHA-256 state `digest` are already there. A service that supports
    ranges sends the rest, if the content still has the tag `etag`; any other service sends
    everything again, and what was received before is compared and skipped.
    """

    method: str
    path: str
    params: dict[str, Any] | None = None
    json: Any = None
    accept: str = "*/*"
    received: int = 0
    etag: str | None = None
    # A retry samples the model version that the first response names, not a newer one.
    pins_model: bool = False
    digest: _Hash = field(default_factory=hashlib.sha256)

    def headers(self) -> dict[str, str]:
        headers = {"Accept": self.accept, "Accept-Encoding": "identity"}
        if self.received and self.etag is not None:
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self.etag}
        return headers

    def note_response(self, response: httpx.Response) -> None:
        if response.headers.get("Accept-Ranges") == "bytes":
            self.etag = response.headers.get("ETag")
        model = response.headers.get("Semblance-Model")
        if self.pins_model and model is not None:
            self.path = f"/v1/models/{model}/samples"


class Replay:
    """The beginning of a repeated response, which was received before and must be the same."""

    def __init__(self, length: int) -> None:
        self._left = length
        self._digest = hashlib.sha256()

    def skip(self, chunk: bytes, download: Download) -> bytes:
        """Return the part of the chunk that is new.

        Raises:
            ContentChangedError: The bytes differ from those that were received before.
        """
        if self._left == 0:
            return chunk
        repeated, new = chunk[: self._left], chunk[self._left :]
        self._digest.update(repeated)
        self._left -= len(repeated)
        if self._left == 0 and self._digest.digest() != download.digest.digest():
            raise _changed()
        return new

    def check_end(self) -> None:
        if self._left:
            raise _changed()


def _changed() -> ContentChangedError:
    return ContentChangedError(
        "The connection was lost, and the service now sends other bytes. Start the download again."
    )
