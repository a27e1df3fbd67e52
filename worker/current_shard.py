"""The shard that a worker makes at the moment, as the lease's thread sees it."""

from sqlalchemy.orm import Session

from core import jobs
from core.jobs import LeaseLost, ShardClaim, StopRequests
from worker.resource_usage import Usage

NO_STOP_REQUESTS = StopRequests(cancel=False, pause=False)


class CurrentShard:
    """`made`: items so far."""

    def __init__(self, shard: ShardClaim | None = None) -> None:
        self.set(shard)

    def set(self, shard: ShardClaim | None) -> None:
        """None while the shard's end is written: it may be done already when the thread looks."""
        self.items_done, self.usage = 0, Usage()
        self.shard = shard

    def renew(self, session: Session) -> StopRequests:
        """The heartbeat. Raises LeaseLost."""
        shard = self.shard
        if shard is None:
            return NO_STOP_REQUESTS
        orders = jobs.renew_shard(
            session, shard, items_done=self.items_done, **self.usage.snapshot()
        )
        if orders is None and self.shard is shard:
            raise LeaseLost(shard.job_id)
        return orders or NO_STOP_REQUESTS
