"""The shard that a worker is generating, shared with the lease's renewal thread."""

from sqlalchemy.orm import Session

from core import jobs
from core.jobs import ShardClaim, StopRequests
from core.leases import LeaseLost
from job_kinds.resource_usage import Usage

NO_STOP_REQUESTS = StopRequests(cancel=False, pause=False)


class CurrentShard:
    """State of the current shard; `items_done` counts its items so far."""

    def __init__(self, shard: ShardClaim | None = None) -> None:
        self.set(shard)

    def set(self, shard: ShardClaim | None) -> None:
        """Replace the shard.

        Pass None before the shard's completion is written: the renewal thread may otherwise try
        to renew a completed shard and report a lost lease.
        """
        self.items_done, self._usage = 0, Usage()
        self.shard = shard

    def times(self) -> dict[str, float]:
        """Return the CPU and elapsed time of this claim of the shard."""
        used = self._usage.snapshot()
        return {"cpu_s": used["cpu_s"], "wall_s": used["wall_s"]}

    def renew(self, session: Session) -> StopRequests:
        """Renew the shard's lease and return the stop requests of its job.

        Raises:
            LeaseLost: Another worker has the shard.
        """
        shard = self.shard
        if shard is None:
            return NO_STOP_REQUESTS
        try:
            return jobs.renew_shard(session, shard, items_done=self.items_done, **self.times())
        except LeaseLost:
            if self.shard is shard:
                raise
            return NO_STOP_REQUESTS  # completed or released in the meantime
