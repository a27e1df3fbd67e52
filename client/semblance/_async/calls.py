"""Requests with results of one type each, on which the operations are built."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote as percent_encode

from semblance.configuration import read_configuration
from semblance.retries import PATIENCE_S

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

TIMEOUT_S = 300.0


def quote(part: str | int) -> str:
    """Return a name or an id as a segment of a path."""
    return percent_encode(str(part), safe="/")


class AsyncCalls:
    """A client of one service; use it as a context manager, or call `aclose` at the end.

    `timeout` is the longest silence of the service in seconds. Requests are repeated for `patience`
    seconds without an answer, so a restart of the service goes unnoticed.
    """

    def __init__(
        self, url: str, key: str, *, timeout: float = TIMEOUT_S, patience: float = PATIENCE_S
    ) -> None:
        # Importing httpx takes longer than everything else here, so it waits for the first client.
        from semblance._async.transport import AsyncTransport

        self.url, self.key = url.rstrip("/"), key
        self._transport = AsyncTransport(self.url, key, timeout=timeout, patience=patience)

    @classmethod
    def from_env(cls, *, timeout: float = TIMEOUT_S, patience: float = PATIENCE_S) -> Self:
        """Return a client of the service in SEMBLANCE_URL with the key in SEMBLANCE_KEY.

        Without these variables, those that `semblance login` has stored.

        Raises:
            ConfigurationError: There is no key.
        """
        configuration = read_configuration()
        return cls(configuration.url, configuration.key, timeout=timeout, patience=patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and return the response, for whatever has no method here.

        `options` takes `params`, `json`, `content`, `headers` and `files`, as in httpx.

        Raises:
            APIError: The status is 400 or above.
            UnreachableError: The service did not answer for too long.
        """
        return await self._transport.request(method, path, **_without_none(options))

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        return (await self.request(method, path, **options)).json()

    async def _bytes(self, method: str, path: str, **options: Any) -> bytes:
        return (await self.request(method, path, **options)).content

    async def _text(self, method: str, path: str, **options: Any) -> str:
        return (await self.request(method, path, **options)).text

    async def _lines(self, method: str, path: str, **options: Any) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in (await self._text(method, path, **options)).splitlines()
        ]

    async def _nothing(self, method: str, path: str, **options: Any) -> None:
        await self.request(method, path, **options)


def _without_none(options: dict[str, Any]) -> dict[str, Any]:
    """Drop query parameters without a value, which httpx would send as empty ones."""
    params = options.get("params")
    if params is not None:
        options["params"] = {name: value for name, value in params.items() if value is not None}
    return options
