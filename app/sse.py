"""Job events as server-sent events (WHATWG HTML, section 9.2).

A feed is the events of one job, or of all jobs of a tenant. One task polls the database twice a
second for all followed feeds together. It reads new events once into memory and wakes the streams
of the feed. Each stream reads only older events from the database. If each stream polled, opening
1,000 of them would take four times as long (bench/jobs.md). The database is read in threads of the
event loop (`asyncio.to_thread`), for which the loop waits when it closes: those of `anyio` would be
left with an open connection if a stream is cut off while they read.

Messages of the type `progress` are not stored events: they have no id, and a stream that resumes
gets only the newest one of each running job.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from fastapi import Depends
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy.orm import Session

from app import shutdown
from app.authentication import ReadOrSampleScope
from app.quotas import open_streams
from app.schemas.events import ProgressView, StreamEnd, event_view
from core import api_keys, jobs
from core.database import read
from core.tables import Event, Job

log = logging.getLogger(__name__)

POLL_S = 0.5
SETTLE_S = 1.0
RETRY_MS = 2_000  # pause of a client before it connects again
HEARTBEAT_S = 10.0
PAGE_SIZE = 500
MAX_BUFFERED_EVENTS = 2_000
WAKE_BATCH_SIZE = 20  # streams woken at once; other requests run between batches

Message = tuple[int, bytes]  # the id of the event, and its encoded form


class FeedKey(NamedTuple):
    """The events of one job, or of all jobs of the tenant if `job_id` is None."""

    tenant_id: str
    job_id: str | None = None


async def _count_stream(caller: ReadOrSampleScope) -> AsyncIterator[None]:
    """Count a request until its response is sent. Raises QuotaExceeded."""
    quotas = caller.quotas
    with open_streams.count(caller, quotas.streams, quotas.key_streams):
        yield


# Of routes whose responses may take as long as a job.
StreamQuota = Annotated[None, Depends(_count_stream)]


async def stream_events(key: FeedKey, after: int | None, api_key_id: str) -> AsyncIterator[bytes]:
    """Yield all events with ids above `after`, then new ones, and `end` when the job has ended.

    With None, the stream begins with the next event. It stops when the API key is revoked or
    expires. When the server stops, the stream ends without `end`, and the client resumes it.
    """
    yield format_sse_event(retry=RETRY_MS)
    if after is None:
        after = await asyncio.to_thread(_newest_id, key)
    shown: dict[str, bytes] = {}  # the last progress that the stream has sent, by job
    with _poller.follow(key) as feed, feed.follower(api_key_id) as wake:
        while api_key_id not in feed.ended_api_keys:
            events = feed.events_after(after)
            if events is None:
                events = await asyncio.to_thread(_read, key, after)
            messages, ended = events
            for after, message in messages:  # noqa: B007 - used after the loop
                yield message
            if ended and key.job_id is not None:
                yield _encode("end", StreamEnd(job=key.job_id).model_dump_json(), after)
                return
            for job_id, progress in feed.progress.items():
                if shown.get(job_id) != progress:
                    yield progress
            shown = dict(feed.progress)
            while not messages and not await _woken(wake):
                yield KEEPALIVE_COMMENT
            if shutdown.is_stopping():
                return


def _encode(event_type: str, data: str, event_id: int | None = None) -> bytes:
    text_id = None if event_id is None else str(event_id)
    return format_sse_event(id=text_id, event=event_type, data_str=data)


async def _woken(wake: asyncio.Event) -> bool:
    """Return True if new events arrive before the next heartbeat is due."""
    try:
        await asyncio.wait_for(wake.wait(), HEARTBEAT_S)
    except TimeoutError:
        return False
    wake.clear()
    return True


def _newest_id(key: FeedKey) -> int:
    with read() as session:
        return jobs.latest_event_id_of_tenant(session, key.tenant_id)


def _read(key: FeedKey, after: int, until: int | None = None) -> tuple[list[Message], bool]:
    """Return the next events up to the id `until`, and True if no more will follow.

    Both are read in one transaction, so a job that has ended has no events that were missed.
    """
    with read() as session:
        rows = _read_rows(session, key, after, until)
        ended = False
        if key.job_id is not None:
            ended = jobs.get(session, key.tenant_id, key.job_id).state in jobs.TERMINAL
    messages = [
        (row.id, _encode(row.type, event_view(row).model_dump_json(), row.id)) for row in rows
    ]
    return messages, ended and len(rows) < PAGE_SIZE


def _read_rows(session: Session, key: FeedKey, after: int, until: int | None) -> list[Event]:
    if key.job_id is None:
        until = _watermark.settled_id if until is None else until
        if until is None:  # before the first poll
            return []
        return jobs.page_of_tenant_events(
            session, key.tenant_id, after=after, until=until, limit=PAGE_SIZE
        )
    return jobs.page_of_events(session, key.tenant_id, key.job_id, after=after, limit=PAGE_SIZE)


def progress_message(job: Job) -> bytes:
    progress = job.progress
    view = ProgressView(
        job=job.id,
        state=jobs.shown_state(job),
        phase=job.phase,
        percent=progress.get("percent"),
        step=job.step,
        steps=progress.get("steps"),
        rate=progress.get("rate"),
        eta_s=progress.get("eta_s"),
    )
    return _encode("progress", view.model_dump_json())


@dataclass
class _Feed:
    """Recent events of a feed: all events with ids above `buffered_after`."""

    wakes: dict[asyncio.Event, str] = field(default_factory=dict)  # with the stream's API key
    ended_api_keys: set[str] = field(default_factory=set)  # revoked or expired
    buffered_after: int | None = None
    latest_id: int = 0
    recent: list[Message] = field(default_factory=list)
    ended: bool = False
    progress: dict[str, bytes] = field(default_factory=dict)  # of the running jobs

    @contextmanager
    def follower(self, api_key_id: str) -> Iterator[asyncio.Event]:
        wake = asyncio.Event()
        self.wakes[wake] = api_key_id
        try:
            yield wake
        finally:
            del self.wakes[wake]

    def end_streams(self, ended_api_keys: set[str]) -> None:
        self.ended_api_keys = ended_api_keys
        for wake, api_key_id in self.wakes.items():
            if api_key_id in ended_api_keys:
                wake.set()

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


@dataclass(frozen=True)
class _News:
    """Result of one poll: the newest event and the running jobs by feed, and valid API keys."""

    latest_ids: dict[FeedKey, int]
    running: dict[FeedKey, dict[str, bytes]]
    valid_api_keys: set[str]


class _Poller:
    """Polls the database for new events while at least one stream is open."""

    def __init__(self) -> None:
        self._feeds: dict[FeedKey, _Feed] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def follow(self, key: FeedKey) -> Iterator[_Feed]:
        feed = self._feeds.setdefault(key, _Feed())
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._poll())
        try:
            yield feed
        finally:
            if not feed.wakes:
                self._feeds.pop(key, None)

    async def _poll(self) -> None:
        while self._feeds:
            try:
                await self._poll_once()
            except Exception:  # open streams depend on this task, so it must not end
                log.exception("Polling for job events failed; it will be retried.")
            await asyncio.sleep(POLL_S)

    async def _poll_once(self) -> None:
        api_keys_of = {key: set(feed.wakes.values()) for key, feed in self._feeds.items()}
        news = await asyncio.to_thread(_find_news, api_keys_of)
        for key, feed in list(self._feeds.items()):
            feed.end_streams(api_keys_of.get(key, set()) - news.valid_api_keys)
            latest_id = news.latest_ids.get(key, feed.latest_id)
            running = news.running.get(key, {})
            if latest_id != feed.latest_id or running != feed.progress:
                feed.progress = running
                await self._update_feed(key, feed, latest_id)
            if shutdown.is_stopping():
                await self._wake(feed)

    async def _update_feed(self, key: FeedKey, feed: _Feed, latest_id: int) -> None:
        if feed.buffered_after is None and latest_id:
            # Streams read earlier events from the database.
            feed.buffered_after = feed.latest_id = latest_id
        elif feed.buffered_after is not None and latest_id != feed.latest_id:
            messages, ended = await asyncio.to_thread(_read, key, feed.latest_id, latest_id)
            feed.append(messages, ended=ended)
            feed.latest_id = messages[-1][0] if messages else latest_id
        await self._wake(feed)

    async def _wake(self, feed: _Feed) -> None:
        for i, wake in enumerate(list(feed.wakes), start=1):
            wake.set()
            if i % WAKE_BATCH_SIZE == 0:
                await asyncio.sleep(0.002)


def _find_news(api_keys_of: Mapping[FeedKey, set[str]]) -> _News:
    keys = list(api_keys_of)
    job_keys = {key.job_id: key for key in keys if key.job_id is not None}
    tenants = [key.tenant_id for key in keys if key.job_id is None]
    with read() as session:
        latest = jobs.latest_event_ids(session, list(job_keys)) if job_keys else {}
        latest_ids = {job_keys[job_id]: event_id for job_id, event_id in latest.items()}
        if tenants:
            _watermark.advance(session)
        for tenant_id in tenants if _watermark.settled_id is not None else ():
            newest = jobs.latest_event_id_of_tenant(session, tenant_id, _watermark.settled_id)
            latest_ids[FeedKey(tenant_id)] = newest
        running: dict[FeedKey, dict[str, bytes]] = {}
        for job in jobs.running_jobs(session, list(job_keys), tenants):
            message = progress_message(job)
            for key in (FeedKey(job.tenant_id), FeedKey(job.tenant_id, job.id)):
                running.setdefault(key, {})[job.id] = message
        valid = api_keys.valid_ids(session, set().union(*api_keys_of.values()))
    return _News(latest_ids, running, valid)


def settled_event_id(tenant_id: str) -> int:
    """Return an id up to which every event has been committed, so that a page misses none.

    This waits for the transactions that run now, but at most SETTLE_S. While longer ones run, it
    returns an id at which an earlier call or poll ended.
    """
    deadline = time.monotonic() + SETTLE_S
    newest: int | None = None
    while True:
        with read() as session:
            _watermark.advance(session)
            if newest is None:
                newest = jobs.latest_event_id_of_tenant(session, tenant_id)
        settled = _watermark.settled_id or 0
        if settled >= newest or time.monotonic() > deadline:
            return settled
        time.sleep(0.02)


_watermark = jobs.EventWatermark()
_poller = _Poller()
