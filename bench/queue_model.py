"""Waiting times in the queue for a number of jobs a day and of workers, by simulation.

`python -m bench.queue_model` prints a table. Jobs arrive as a Poisson process, whose rate is three
times the mean during the eight busiest hours. A free worker takes the first job in the order of
core.jobs: creation time, shifted by an hour for each step of priority. The service times are those
that the other benchmarks measured with one core for each worker.
"""

import argparse
import heapq
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from core.jobs.commands import PRIORITY_OFFSET_S

DAY_S = 86_400
BUSY_S, BUSY_FACTOR = 8 * 3_600, 2.0  # two thirds of the jobs in a third of the day
# Kind, share of the jobs, seconds: bench/jobs.md (generation, overhead of a training),
# bench/README.md (evaluation, budget of `fast`), bench/tables.md (fit of 24,000 rows).
LOAD_S = 3.0  # a worker's process loads its libraries
KINDS = (
    ("generation", 0.70, 0.69),
    ("evaluation", 0.15, 8.5),
    ("training, table", 0.10, 9.0 + LOAD_S),
    ("training, images", 0.05, 60.0 + LOAD_S),
)
PRIORITIES = (("high", 0.1), ("normal", 0.8), ("low", 0.1))
MEAN_S = sum(share * seconds for _, share, seconds in KINDS)


@dataclass
class Outcome:
    """Seconds that jobs waited, by priority, and the share of time that workers were busy."""

    waits: dict[str, list[float]]
    busy: float
    longest_queue: int

    def quantile(self, priority: str, q: float) -> float:
        waits = sorted(self.waits[priority])
        return waits[int(q * (len(waits) - 1))] if waits else 0.0


def arrivals(per_day: float, rng: random.Random) -> Iterator[float]:
    """Yield the times of the jobs of one day, after a warm-up of a night."""
    mean = per_day / DAY_S
    slow = mean * (DAY_S - BUSY_FACTOR * BUSY_S) / (DAY_S - BUSY_S)
    now = 0.0
    while now < DAY_S:
        rate = mean * BUSY_FACTOR if DAY_S / 3 <= now < DAY_S / 3 + BUSY_S else slow
        now += rng.expovariate(rate)
        yield now


def simulate(per_day: float, workers: int, seed: int = 1) -> Outcome:
    rng = random.Random(seed)  # noqa: S311 - repeats
    free_at = [0.0] * workers
    queue: list[tuple[float, int, float, str, float]] = []
    outcome = Outcome({name: [] for name, _ in PRIORITIES}, 0.0, 0)
    busy_s = end = 0.0

    def serve_until(now: float) -> None:
        """Start the jobs for which a worker becomes free before `now`."""
        nonlocal busy_s, end
        while queue and free_at[0] <= now:
            _, _, created, priority, seconds = heapq.heappop(queue)
            start = max(free_at[0], created)
            heapq.heapreplace(free_at, start + seconds)
            outcome.waits[priority].append(start - created)
            busy_s, end = busy_s + seconds, max(end, start + seconds)

    for number, now in enumerate(arrivals(per_day, rng)):
        serve_until(now)
        (priority,) = rng.choices(*zip(*PRIORITIES, strict=True))
        (seconds,) = rng.choices([k[2] for k in KINDS], [k[1] for k in KINDS])
        seconds *= rng.uniform(0.8, 1.25)
        order = now + PRIORITY_OFFSET_S[priority]
        heapq.heappush(queue, (order, number, now, priority, seconds))
        serve_until(now)
        outcome.longest_queue = max(outcome.longest_queue, len(queue))
    serve_until(float("inf"))
    outcome.busy = busy_s / (workers * max(end, DAY_S))
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=3, help="simulated days, each with its seed")
    options = parser.parse_args()
    print(f"a job takes {MEAN_S:.1f} s in the mean")
    print(
        "| jobs a day | workers | busy | longest queue | normal, median s | p99 s | high, p99 s |"
    )
    print("|---|---|---|---|---|---|---|")
    for per_day in (100, 1_000, 10_000, 100_000, 1_000_000):
        least = max(1, round(BUSY_FACTOR * per_day / DAY_S * MEAN_S))
        for workers in sorted({least, least + 1, round(1.2 * least + 1)}):
            days = [simulate(per_day, workers, seed) for seed in range(options.days)]
            cells = [
                statistics.median(day.busy for day in days),
                statistics.median(day.longest_queue for day in days),
                *(
                    statistics.median(day.quantile(priority, q) for day in days)
                    for priority, q in (("normal", 0.5), ("normal", 0.99), ("high", 0.99))
                ),
            ]
            print(
                f"| {per_day:,} | {workers} | {cells[0]:.2f} | {cells[1]:,.0f} | "
                f"{cells[2]:.1f} | {cells[3]:.0f} | {cells[4]:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
