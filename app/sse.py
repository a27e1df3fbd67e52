"""Job events as server-sent events (WHATWG HTML, section 9.2).

One task polls the database twice a second for all followed jobs together. It reads new events once
into memory and wakes the streams of the job. Each stream reads only older events from the database.
If each stream polled, opening 1,000 of them would take four times as long (bench/jobs.md).
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from app.schemas.events import event_view
from core import jobs
from core.database import read

log = logging.getLogger(__name__)

POLL_S = 0.5
RETRY_MS = 2_000  # pause of a client before it connects again
HEARTBEAT_S = 10.0
PAGE_SIZE = 500
MAX_BUFFERED_EVENTS = 2_000
WAKE_BATCH_SIZE = 20  # streams woken at once; other requests run between batches

Message = tuple[int, bytes]  # the id of the event, and its encoded form


async def stream_events(tenant_id: str, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Yield all events with ids above `after`, then new ones, and `end` when the job has ended."""
    yield format_sse_event(retry=RETRY_MS)
    with _poller.follow(job_id, tenant_id) as job, job.follower() as wake:
        while True:
            events = job.events_after(after)
            if events is None:
                events = await run_in_threadpool(_read, tenant_id, job_id, after)
            messages, ended = events
            for after, message in messages:  # noqa: B007 - used after the loop
                yield message
            if ended:
                yield _message("end", json.dumps({"job": job_id}), after)[1]
                return
            while not messages and not await _woken(wake):
                yield KEEPALIVE_COMMENT


def _message(event_type: str, data: str, event_id: int) -> Message:
    return event_id, format_sse_event(id=str(event_id), event=event_type, data_str=data)


async def _woken(wake: asyncio.Event) -> bool:
    """Return True if new events arrive before the next heartbeat is due."""
    try:
        await asyncio.wait_for(wake.wait(), HEARTBEAT_S)
    except TimeoutError:
        return False
    wake.clear()
    return True


def _read(tenant_id: str, job_id: str, after: int) -> tuple[list[Message], bool]:
    """Return the next events, and True if no more will follow.

    Both are read in one transaction, so a job that has ended has no events that were missed.
    """
    with read() as session:
        rows = jobs.page_of_events(session, tenant_id, job_id, after=after, limit=PAGE_SIZE)
        ended = jobs.get(session, tenant_id, job_id).state in jobs.TERMINAL
    messages = [_message(row.type, event_view(row).model_dump_json(), row.id) for row in rows]
    return messages, ended and len(rows) < PAGE_SIZE


@dataclass
class _FollowedJob:
    """Recent events of a job: all events with ids above `buffered_after`."""

    tenant_id: str
    wakes: set[asyncio.Event] = field(default_factory=set)
    buffered_after: int | None = None
    latest_id: int = 0
    recent: list[Message] = field(default_factory=list)
    ended: bool = False

    @contextmanager
    def follower(self) -> Iterator[asyncio.Event]:
        wake = asyncio.Event()
        self.wakes.add(wake)
        try:
            yield wake
        finally:
            self.wakes.discard(wake)

    def events_after(self, after: int) -> tuple[list[Message], bool] | None:
        """Return the events with ids above `after`, and True if the job has ended.

        Returns None if they are not all in memory.
        """
        if self.buffered_after is None or after < self.buffered_after:
            return None
        return [message for message in self.recent if message[0] > after], self.ended

    def append(self, messages: Sequence[Message], *, ended: bool) -> None:
        self.recent += messages
        self.ended = ended
        if len(self.recent) > MAX_BUFFERED_EVENTS:
            self.buffered_after = self.recent[-MAX_BUFFERED_EVENTS - 1][0]
            del self.recent[:-MAX_BUFFERED_EVENTS]


class _Poller:
    """Polls the database for new events while at least one stream is open."""

    def __init__(self) -> None:
        self._jobs: dict[str, _FollowedJob] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def follow(self, job_id: str, tenant_id: str) -> Iterator[_FollowedJob]:
        job = self._jobs.setdefault(job_id, _FollowedJob(tenant_id))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._poll())
        try:
            yield job
        finally:
            if not job.wakes:
                self._jobs.pop(job_id, None)

    async def _poll(self) -> None:
        while self._jobs:
            try:
                await self._poll_once()
            except Exception:  # open streams depend on this task, so it must not end
                log.exception("Polling for job events failed; it will be retried.")
            await asyncio.sleep(POLL_S)

    async def _poll_once(self) -> None:
        latest_ids = await run_in_threadpool(_latest_event_ids, list(self._jobs))
        for job_id, event_id in latest_ids.items():
            job = self._jobs.get(job_id)
            if job is not None and event_id != job.latest_id:
                await self._update_job(job_id, job, event_id)

    async def _update_job(self, job_id: str, job: _FollowedJob, latest_id: int) -> None:
        if job.buffered_after is None:  # streams read earlier events from the database
            job.buffered_after = job.latest_id = latest_id
        else:
            messages, ended = await run_in_threadpool(_read, job.tenant_id, job_id, job.latest_id)
            job.append(messages, ended=ended)
            job.latest_id = messages[-1][0] if messages else latest_id
        for i, wake in enumerate(list(job.wakes), start=1):
            wake.set()
            if i % WAKE_BATCH_SIZE == 0:
                await asyncio.sleep(0.002)


def _latest_event_ids(job_ids: Sequence[str]) -> dict[str, int]:
    with read() as session:
        return jobs.latest_event_ids(session, job_ids)


_poller = _Poller()
