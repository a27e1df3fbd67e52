"""`/v1/events`: events of all jobs of the tenant."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.sse import EventSourceResponse

from app import content_negotiation, sse
from app.authentication import ReadScope
from app.content_negotiation import AcceptHeader
from app.fairness.route import FairRoute
from app.openapi_responses import responses
from app.schemas.events import EventPage, EventType
from app.schemas.pagination import Limit, page_size
from core import jobs
from core.database import read
from core.errors import ValidationFailed

router = APIRouter(prefix="/v1/events", tags=["jobs"], route_class=FairRoute)

MAX_EVENT_ID = 2**53
EVENT_TYPES = {"json": "application/json", "stream": "text/event-stream"}


@router.get("", response_model=EventPage, responses=responses("text/event-stream"))
def list_events(
    caller: ReadScope,
    _quota: sse.StreamQuota,
    after: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_EVENT_ID,
            description="Id of the last event that was received. Default: 0 for a page; a stream "
            "begins with the next event.",
        ),
    ] = None,
    limit: Limit = 50,
    type: Annotated[
        EventType | None, Query(description="Only events of this type, in a page. Default: all.")
    ] = None,
    accept: AcceptHeader = None,
    last_event_id: Annotated[
        str | None, Header(description="Id of the event after which a stream resumes.")
    ] = None,
) -> Response:
    """Return the events of all jobs, oldest first, as a page or as a stream.

    With `Accept: text/event-stream`, the stream stays open. `Last-Event-ID` resumes it without a
    gap. It also has messages of the type `progress` of each running job, which are not stored and
    have no id.
    """
    output_format = content_negotiation.negotiate(
        EVENT_TYPES, format=None, accept=accept, default="json"
    )
    if output_format == "stream":
        start = parse_last_event_id(last_event_id, after)
        stream = sse.stream_events(sse.FeedKey(caller.tenant_id), start, caller.key_id)
        headers = {"X-Accel-Buffering": "no"}  # proxies must not buffer the events
        return EventSourceResponse(stream, headers=headers)
    limit = page_size(limit)
    until = sse.settled_event_id(caller.tenant_id)
    with read() as session:
        rows = jobs.page_of_tenant_events(
            session, caller.tenant_id, after=after or 0, until=until, limit=limit + 1, type=type
        )
    return Response(EventPage.of(rows, limit).model_dump_json(), media_type="application/json")


def parse_last_event_id(header: str | None, after: int | None) -> int | None:
    """Return the id after which a stream begins. Raises ValidationFailed."""
    if header is None:
        return after
    if not header.isdecimal() or len(header) > 18:
        raise ValidationFailed("Last-Event-ID must be the id of an event.")
    return int(header)
