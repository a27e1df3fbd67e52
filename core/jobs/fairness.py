"""Turns of tenants: whose job a worker takes next, and how many jobs go before another."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, TextClause, case, func, select, update
from sqlalchemy.orm import Session

from core import own_quotas
from core.database import clock
from core.devices import DeviceKind
from core.jobs.devices import may_run_on
from core.jobs.state_machine import IS_LIVE
from core.settings import get_settings
from core.tables import Job, JobState, Tenant

_LEAST_RECENT = (Tenant.claimed_at.asc().nulls_first(), Tenant.id)
_RUNNING = (IS_LIVE, Job.state == JobState.RUNNING)


def may_start() -> ColumnElement[bool]:
    """Select jobs of tenants that may have another running job, and are not suspended."""
    suspended = select(Tenant.id).where(Tenant.suspended_at.is_not(None))
    own_quota = Tenant.quotas["running_jobs"].as_float()
    running = select(Tenant.id).join(Job, Job.tenant_id == Tenant.id).where(*_RUNNING)
    full = running.group_by(Tenant.id).having(
        func.count() >= func.coalesce(own_quota, get_settings().quotas.running_jobs)
    )
    return Job.tenant_id.not_in(suspended) & Job.tenant_id.not_in(full)


def tenants_in_turn(
    session: Session, is_due: Sequence[ColumnElement[bool] | TextClause]
) -> Sequence[str]:
    """Return the tenants that have due jobs, the next one first.

    First is the tenant with the fewest running jobs; of several, the one whose last turn was
    longest ago. However many jobs one tenant has, the others do not wait for all of them.
    """
    running = select(func.count()).where(*_RUNNING, Job.tenant_id == Tenant.id).scalar_subquery()
    has_due_job = select(Job.id).where(Job.tenant_id == Tenant.id, *is_due).exists()
    order = (running, *_LEAST_RECENT)
    return session.scalars(select(Tenant.id).where(has_due_job).order_by(*order)).all()


def record_turn(session: Session, tenant_id: str) -> None:
    """Put the tenant at the end of the order."""
    session.execute(update(Tenant).where(Tenant.id == tenant_id).values(claimed_at=clock()))


_counts = (
    select(
        Job.tenant_id,
        Job.queue,
        Job.state,
        func.count().label("total"),
        *(func.sum(case((may_run_on(kind), 1), else_=0)).label(kind) for kind in DeviceKind),
    )
    .where(IS_LIVE)
    .group_by(Job.tenant_id, Job.queue, Job.state)
    .subquery()
)
_LIVE_JOBS = (
    select(_counts, Tenant.quotas, Tenant.suspended_at)
    .join(Tenant, Tenant.id == _counts.c.tenant_id)
    .order_by(*_LEAST_RECENT)
)


class Turns:
    """The turns of all tenants, as one of them sees them."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._tenant_id = tenant_id
        self._order: dict[str, int] = {}
        self._queued: dict[tuple[str, DeviceKind | None], dict[str, int]] = defaultdict(dict)
        self._running = Counter[str]()
        quotas: dict[str, int | None] = {}
        suspended = set()
        for tenant, queue, state, count, *by_kind, own, suspended_at in session.execute(_LIVE_JOBS):
            self._order.setdefault(tenant, len(self._order))
            quotas[tenant] = own_quotas.effective(own).running_jobs
            if suspended_at is not None:
                suspended.add(tenant)
            if state is JobState.RUNNING:
                self._running[tenant] += count
            else:
                for kind, queued in zip((None, *DeviceKind), (count, *by_kind), strict=True):
                    self._queued[queue, kind][tenant] = queued
        running = self._running.items()
        full = {t for t, count in running if (quota := quotas[t]) is not None and count >= quota}
        self._without_turn = {tenant_id} | suspended | full

    def jobs_ahead(self, own: int, queue: str, kind: DeviceKind | None) -> int:
        """Return how many jobs start before one that has `own` jobs of its tenant before it.

        A tenant has its turn while it has fewer running jobs than the others; the running ones are
        assumed to go on. With as many, the one whose last turn was longer ago is first: that is not
        the one that needed turns to have as many.
        """
        own_running = self._running[self._tenant_id]
        ahead, level = own, own_running + own
        for tenant, queued in self._queued[queue, kind].items():
            if tenant in self._without_turn:
                continue
            running = self._running[tenant]
            is_first = running > own_running or (
                running == own_running and self._order[tenant] < self._order[self._tenant_id]
            )
            turns = level + is_first - running
            ahead += max(0, min(queued, turns))
        return ahead
