"""Comparison of all network architectures on the user's own dataset.

Each architecture trains for the same CPU time and is evaluated in the same way.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from semblance._sync.client import Client
from semblance.errors import APIError, JobFailedError, UnknownArchitectureError

Json = dict[str, Any]
AUTO = "auto"
DIRECTION_SYMBOLS = {"lower": "↓", "higher": "↑", "target": "→.5"}
LEGEND = (
    "↑ higher is better, ↓ lower is better",
    "* best network, or not distinguishable from it",
)

WaitForJob = Callable[[str], Any]  # takes a job id and returns the ended job


@dataclass(frozen=True)
class NetworkResult:
    """Result of one architecture.

    If its training or its evaluation failed, `report` is None and `reason` says why. `cpu_s` is the
    CPU time of training alone, without the worker's startup.
    """

    network: str
    model: str = ""
    cpu_s: float | None = None
    report: Json | None = None
    reason: str = ""

    @property
    def verdict(self) -> str:
        return "failed" if self.report is None else str(self.report["verdict"]["verdict"])

    def status_text(self) -> str:
        """Return a one-line summary."""
        model = f" ({self.model})" if self.model else ""
        reasons = (
            self.reason if self.report is None else "; ".join(self.report["verdict"]["reasons"])
        )
        return f"{self.network}{model}: {self.verdict}; {reasons}"

    def to_json(self) -> Json:
        return {**asdict(self), "verdict": self.verdict}


def run(
    client: Client,
    dataset: Any,
    *,
    cpu_seconds: float,
    seed: int,
    networks: list[str] | None = None,
    watch: WaitForJob | None = None,
) -> Iterator[NetworkResult]:
    """Train and evaluate architectures one after the other.

    `networks` defaults to all architectures of the dataset's modality. `watch` waits for a job and
    defaults to `client.wait`. A KeyboardInterrupt cancels the running job.

    Raises:
        UnknownArchitectureError: `networks` contains a name that the service does not have.
    """
    available: list[str] = client.describe_service()["architectures"][dataset["modality"]]
    for network in networks or []:
        if network not in (AUTO, *available):
            raise UnknownArchitectureError(
                f"Unknown architecture {network!r}. Choose from: {', '.join((AUTO, *available))}."
            )
    benchmark = _Benchmark(client, dataset["id"], cpu_seconds, seed, watch or client.wait)
    # The first architecture is the one that `auto` resolves to.
    for network in networks or [AUTO, *available[1:]]:
        yield benchmark.evaluate_network(network)


@dataclass(frozen=True)
class _Benchmark:
    client: Client
    dataset: str
    cpu_seconds: float
    seed: int
    wait_for_job: WaitForJob

    def evaluate_network(self, network: str) -> NetworkResult:
        result = NetworkResult(network)
        spec: Any = {
            "preset": "fast",
            "hyperparameters": {} if network == AUTO else {"architecture": network},
            "budget": {"cpu_seconds": self.cpu_seconds},
            "name": f"bench-{network}",
        }
        try:
            submitted = self.client.train(self.dataset, seed=self.seed, evaluate=False, **spec)
            job = self._wait_or_cancel(submitted)
            model, cpu_s = job["result"]["model_version"], self._training_cpu_seconds(job)
            result = replace(result, model=model, cpu_s=cpu_s)
            # Some scores depend on the number of samples, so all models use the same default.
            self._wait_or_cancel(self.client.evaluate(result.model, seed=self.seed))
        except (JobFailedError, APIError) as failure:
            return replace(result, reason=str(failure))
        return replace(result, report=cast("Json", self.client.report(result.model)))

    def _wait_or_cancel(self, job: Any) -> Any:
        try:
            return self.wait_for_job(job["id"])
        except KeyboardInterrupt:
            with contextlib.suppress(APIError):  # the job may have just ended
                self.client.cancel(job["id"])
            raise

    def _training_cpu_seconds(self, job: Any) -> float:
        # `usage.cpu_s` of the job is larger: a worker's first job also loads the libraries.
        checkpoints = self.client.list_checkpoints(job["id"])
        return max(float(checkpoint["metrics"]["cpu_s"]) for checkpoint in checkpoints)


def render_table(results: list[NetworkResult], width: int) -> list[str]:
    """Return the lines of the table, with confidence intervals if `width` is large enough.

    There is a row for each score. The columns are real items, each network, and the naive baseline.
    """
    for format_score, gap in ((_with_interval, 2), (_value, 2), (_value, 1)):
        lines = _render(_rows(results, format_score), gap)
        if max(map(len, lines)) <= width:
            break
    return [*lines, *LEGEND] if any(result.report for result in results) else lines


def _rows(results: list[NetworkResult], format_score: Callable[[Json], str]) -> list[list[str]]:
    reports = [result.report for result in results]
    evaluated = [report for report in reports if report is not None]
    rows = [
        ["", "real", *(result.network for result in results), "naive"],
        ["verdict", "", *(result.verdict for result in results), ""],
        ["CPU-seconds", "", *(_number(result.cpu_s, 1) for result in results), ""],
    ]
    for score in evaluated[0]["scores"] if evaluated else ():
        row = [_score(report, score["name"]) for report in reports]
        marks = _marks(row)
        rows.append(
            [
                f"{score['name']} {DIRECTION_SYMBOLS[score['direction']]}",
                _number(score["real_reference"]),
                *(
                    "" if s is None else format_score(s) + m
                    for s, m in zip(row, marks, strict=True)
                ),
                _number(score["naive_baseline"]),
            ]
        )
    return rows


def _render(rows: list[list[str]], gap: int) -> list[str]:
    """Return lines with aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * gap)
        .join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        .rstrip()
        for row in rows
    ]


def _score(report: Json | None, name: str) -> Json | None:
    return next((s for s in (report or {"scores": []})["scores"] if s["name"] == name), None)


def _marks(scores: list[Json | None]) -> list[str]:
    """Return a star for each score whose interval may contain the best value.

    Return no stars if this holds for all scores. Values better than those of real items count as
    equal to them: fewer near-duplicates than expected by chance are not an advantage.
    """
    available = [score for score in scores if score is not None]
    best = min(max(_min_badness(s, s["value"], s["value"]), _real_badness(s)) for s in available)
    may_be_best = [
        s is not None and max(_min_badness(s, *s["ci95"]), _real_badness(s)) <= best for s in scores
    ]
    if sum(may_be_best) == len(available):
        return [" " for _ in scores]
    return ["*" if mark else " " for mark in may_be_best]


def _min_badness(score: Json, low: float, high: float) -> float:
    """Return the badness of the best value from `low` to `high`; lower is better."""
    if score["direction"] == "target":
        return max(0.0, low - 0.5, 0.5 - high)
    return low if score["direction"] == "lower" else -high


def _real_badness(score: Json) -> float:
    real = score["real_reference"]
    return float("-inf") if real is None else _min_badness(score, real, real)


def _with_interval(score: Json) -> str:
    half_width = (score["ci95"][1] - score["ci95"][0]) / 2
    return f"{score['value']:.3f} ± {half_width:.3f}"


def _value(score: Json) -> str:
    return _number(score["value"])


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"
