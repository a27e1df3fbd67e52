"""Events as server-sent events (WHATWG): any number of streams, one look at the database.

One task looks, twice a second, whether any followed job has new events, reads those once, and
wakes the job's followers, who find them in memory. Only what lies before is read by each itself.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from fastapi.concurrency import run_in_threadpool

from app.schemas.jobs import EventView
from core import jobs
from core.database import read

log = logging.getLogger(__name__)

POLL_S = 0.5
HEARTBEAT_S = 10.0
PAGE_SIZE = 500
MAX_BUFFERED_EVENTS = 2_000
WAKE_BATCH_SIZE = (
    20  # followers that are woken together: between them, other requests get their turn
)

Message = tuple[int, str]  # the event's id, and the event as it goes over the wire


async def stream_events(tenant_id: str, job_id: str, after: int) -> AsyncIterator[str]:
    """Everything after the event with this id, then what comes, then `end`."""
    yield "retry: 2000\n\n"
    with _watch.followed(job_id, tenant_id) as job, job.follower() as wake:
        while True:
            known = job.events_after(after)
            if known is None:
                known = await run_in_threadpool(_read, tenant_id, job_id, after)
            messages, ended = known
            for after, message in messages:  # noqa: B007 - `after` lives on
                yield message
            if ended:
                yield _message("end", json.dumps({"job": job_id}), after)[1]
                return
            while not messages and not await _woken(wake):
                yield ": still here\n\n"


def _message(kind: str, data: str, identity: int) -> Message:
    return identity, f"id: {identity}\nevent: {kind}\ndata: {data}\n\n"


async def _woken(wake: asyncio.Event) -> bool:
    """Whether something happened before the heartbeat is due."""
    try:
        await asyncio.wait_for(wake.wait(), HEARTBEAT_S)
    except TimeoutError:
        return False
    wake.clear()
    return True


def _read(tenant_id: str, job_id: str, after: int) -> tuple[list[Message], bool]:
    """The next events, and whether they are the last. Read in one transaction, so that a job that
    is seen to have ended has no events beyond those seen."""
    with read() as session:
        rows = jobs.page_of_events(session, tenant_id, job_id, after=after, limit=PAGE_SIZE)
        ended = jobs.get(session, tenant_id, job_id).state in jobs.TERMINAL
    messages = [_message(row.type, EventView.of(row).model_dump_json(), row.id) for row in rows]
    return messages, ended and len(rows) < PAGE_SIZE


@dataclass
class _FollowedJob:
    """What the watch remembers of a job: all events after `covered`."""

    tenant_id: str
    wakes: set[asyncio.Event] = field(default_factory=set)
    buffered_after: int | None = None
    newest: int = 0
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
        """None when the events after this one are not all in memory."""
        if self.buffered_after is None or after < self.buffered_after:
            return None
        return [message for message in self.recent if message[0] > after], self.ended

    def append(self, messages: Sequence[Message], *, ended: bool) -> None:
        self.recent += messages
        self.ended = ended
        if len(self.recent) > MAX_BUFFERED_EVENTS:
            self.buffered_after = self.recent[-MAX_BUFFERED_EVENTS - 1][0]
            del self.recent[:-MAX_BUFFERED_EVENTS]


class _Watch:
    """Looks only while somebody follows."""

    def __init__(self) -> None:
        self._jobs: dict[str, _FollowedJob] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def followed(self, job_id: str, tenant_id: str) -> Iterator[_FollowedJob]:
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
            except Exception:  # whatever it was, the followers are still waiting
                log.exception("will look again")
            await asyncio.sleep(POLL_S)

    async def _poll_once(self) -> None:
        newest = await run_in_threadpool(_newest, list(self._jobs))
        for job_id, identity in newest.items():
            job = self._jobs.get(job_id)
            if job is not None and identity != job.newest:
                await self._update_job(job_id, job, identity)

    async def _update_job(self, job_id: str, job: _FollowedJob, newest: int) -> None:
        if job.buffered_after is None:  # from here on; what lies before, followers read themselves
            job.buffered_after = job.newest = newest
        else:
            messages, ended = await run_in_threadpool(_read, job.tenant_id, job_id, job.newest)
            job.append(messages, ended=ended)
            job.newest = messages[-1][0] if messages else newest
        for i, wake in enumerate(list(job.wakes), start=1):
            wake.set()
            if i % WAKE_BATCH_SIZE == 0:
                await asyncio.sleep(0.002)


def _newest(job_ids: Sequence[str]) -> dict[str, int]:
    with read() as session:
        return jobs.latest_event_ids(session, job_ids)


_watch = _Watch()
