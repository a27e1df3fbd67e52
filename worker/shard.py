"""The shard that a worker makes at the moment, as the lease's thread sees it."""

from sqlalchemy.orm import Session

from core import jobs
from core.jobs import LeaseLost, Orders, ShardClaim
from worker.usage import Usage

NOTHING_ASKED = Orders(cancel=False, pause=False)


class AtHand:
    """`made`: items so far."""

    def __init__(self, shard: ShardClaim | None = None) -> None:
        self.take(shard)

    def take(self, shard: ShardClaim | None) -> None:
        """None while the shard's end is written: it may be done already when the thread looks."""
        self.made, self.usage = 0, Usage()
        self.shard = shard

    def renew(self, session: Session) -> Orders:
        """The heartbeat. Raises LeaseLost."""
        shard = self.shard
        if shard is None:
            return NOTHING_ASKED
        orders = jobs.renew(session, shard, made=self.made, **self.usage.so_far())
        if orders is None and self.shard is shard:
            raise LeaseLost(shard.job_id)
        return orders or NOTHING_ASKED
