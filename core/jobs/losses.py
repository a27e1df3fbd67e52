"""Counts of jobs that lost their worker or its GPU, by reason.

They are counted in the transaction that takes the job from its worker, so no process that dies
takes a count with it.
"""

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.tables import Loss

# The worker stopped renewing its lease or a step hung; the job's process gave up after a failure of
# the database or the storage; the worker's GPU failed.
REASONS = ("worker_lost", "interrupted", "device_lost")


def count_loss(session: Session, reason: str) -> None:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    new = dialect.insert(Loss).values(reason=reason, count=1)
    session.execute(
        new.on_conflict_do_update(index_elements=[Loss.reason], set_={"count": Loss.count + 1})
    )


def loss_counts(session: Session) -> dict[str, int]:
    """Return the number of losses by reason, also of reasons without one."""
    counts = dict.fromkeys(REASONS, 0)
    for reason, count in session.execute(select(Loss.reason, Loss.count)):
        counts[reason] = count
    return counts
