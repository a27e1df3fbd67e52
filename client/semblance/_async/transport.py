"""HTTP requests that survive lost connections and a restart of the service."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import httpx

from semblance.downloads import Replay
from semblance.errors import APIError, UnreachableError
from semblance.retries import RETRYABLE, Retries, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from semblance.downloads import Download

# The request did not reach the service, so even one that must not be repeated may be sent again.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class AsyncTransport:
    """A connection pool to one service, with retries.

    Requests are repeated after lost connections, after 429, 502, 503 and 504, and wherever the
    service sends `Retry-After`, until `patience` seconds have passed. Every POST has an idempotency
    key, which all its tries share.
    """

    def __init__(self, url: str, key: str, *, timeout: float, patience: float) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(timeout, connect=5.0, pool=None),
        )
        self._patience = patience
        self._connected = False  # whether the service has answered before

    async def aclose(self) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        idempotency_key: str | None = None,
        repeatable: bool = True,
        **options: Any,
    ) -> httpx.Response:
        """Send a request and return the response.

        With `repeatable=False`, a request that may have reached the service is not sent again.

        Raises:
            APIError: The status is 400 or above.
            UnreachableError: The service did not answer for too long.
        """
        headers = dict(headers or {})
        if method == "POST":
            headers.setdefault("Idempotency-Key", idempotency_key or uuid.uuid4().hex)
        retries, is_resent = Retries(self._patience), False
        while True:
            try:
                response = await self._http.request(method, path, headers=headers, **options)
                self._connected = True
            except httpx.TransportError as error:
                if not (repeatable or isinstance(error, NOT_SENT)):
                    raise _unreachable(error) from error
                await self._pause(retries, error)
                is_resent = True
                continue
            if not response.is_error:
                return response
            if is_resent and method == "DELETE" and response.status_code == 404:
                return response  # the lost response was the one to the first try
            await self._pause_or_raise(retries, response)

    async def stream(self, download: Download) -> AsyncIterator[bytes]:
        """Yield the bytes of a response; connections that are lost on the way are replaced.

        Raises:
            APIError: The status is 400 or above.
            ContentChangedError: The service sends other bytes than before the interruption.
            UnreachableError: The service sent nothing new for too long.
        """
        retries = Retries(self._patience)
        while True:
            try:
                async with self._http.stream(
                    download.method,
                    download.path,
                    params=download.params,
                    json=download.json,
                    headers=download.headers(),
                ) as response:
                    self._connected = True
                    if response.is_error:
                        await response.aread()
                        await self._pause_or_raise(retries, response)
                        continue
                    download.note_response(response)
                    is_rest = response.status_code == httpx.codes.PARTIAL_CONTENT
                    replay = Replay(0 if is_rest else download.received)
                    async for chunk in response.aiter_bytes():
                        new = replay.skip(chunk, download)
                        if new:
                            download.received += len(new)
                            download.digest.update(new)
                            retries.note_progress()
                            yield new
                    replay.check_end()
                    return
            except httpx.TransportError as error:
                await self._pause(retries, error)

    async def _pause_or_raise(self, retries: Retries, response: httpx.Response) -> None:
        """Wait if the request may be sent again; otherwise raise the error of the response."""
        error = APIError(response.status_code, _problem(response))
        retry_after = parse_retry_after(response.headers.get("Retry-After"))
        if retry_after is None and response.status_code not in RETRYABLE:
            raise error
        delay = retries.next_delay(retry_after, connected=True)
        if delay is None:
            raise error
        await asyncio.sleep(delay)

    async def _pause(self, retries: Retries, error: httpx.TransportError) -> None:
        delay = retries.next_delay(None, connected=self._connected)
        if delay is None:
            raise _unreachable(error) from error
        await asyncio.sleep(delay)


def _unreachable(error: httpx.TransportError) -> UnreachableError:
    if isinstance(error, NOT_SENT):
        return UnreachableError(
            "Cannot connect to the service. Check that it is running and that its address is right."
        )
    return UnreachableError(f"The connection to the service was lost: {error}")


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return {"detail": f"HTTP {response.status_code}"}
    return document
