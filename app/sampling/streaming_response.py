"""Streaming response whose samples are generated while it is sent."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.sampling.batcher import ClientDisconnected
from app.sampling.concurrency_limit import run_in_sampling_thread


class SampleStreamingResponse(StreamingResponse):
    """Response that calls `close` when it is sent, and as soon as the client disconnects.

    A thread that waits for the next chunk then gets ClientDisconnected.
    """

    def __init__(
        self,
        body: Iterator[bytes],
        close: Callable[[], None],
        *,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        super().__init__(_chunks(body), headers=headers, media_type=media_type)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()

    async def listen_for_disconnect(self, receive: Receive) -> None:
        await super().listen_for_disconnect(receive)
        self._close()


async def _chunks(body: Iterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        try:
            chunk = await run_in_sampling_thread(next, body, None)
        except ClientDisconnected:
            return
        if chunk is None:
            return
        yield chunk
