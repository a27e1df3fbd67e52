"""Response whose chunks are read in threads that tenants share in turns.

Starlette reads the chunks of a blocking iterator in threads of anyio, in order of arrival: forty
slow downloads of one tenant would take all of them.
"""

from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from inspect import GEN_SUSPENDED, getgeneratorstate

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.fairness.turns import FairThreads


class FairStreamingResponse(StreamingResponse):
    """Response that takes a turn of its tenant for each chunk of its body.

    A body that is not complete is closed in a thread: it closes files or writes the end of its
    archive, and a hundred of them that are closed at the same time would hold up other requests.
    """

    def __init__(
        self,
        threads: FairThreads,
        tenant_id: str,
        body: Iterator[bytes],
        status_code: int = 200,
        *,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        self._threads, self._tenant_id, self._body = threads, tenant_id, _generator(body)
        super().__init__(self._chunks(), status_code, headers, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end()

    async def _end(self) -> None:
        if getgeneratorstate(self._body) == GEN_SUSPENDED:  # else it has ended
            await self._threads.run(self._tenant_id, self._body.close)

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            chunk = await self._threads.run(self._tenant_id, next, self._body, None)
            if chunk is None:
                return
            yield chunk


def _generator(body: Iterator[bytes]) -> Generator[bytes]:
    """Return a generator, which can be closed."""
    yield from body
