"""What the user's own data is worth to the networks that there are: each learns for the same time,
and all are measured alike."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from semblance.client import Client, Json
from semblance.errors import APIError, JobFailedError, UnknownArchitectureError

AUTO = "auto"
DIRECTION_SYMBOLS = {"lower": "↓", "higher": "↑", "target": "→.5"}
LEGEND = "↑ higher is better, ↓ lower; * best of the networks, or not to be told from it"

WaitForJob = Callable[[str], Json]  # from a job's id to the job when it has ended


@dataclass(frozen=True)
class NetworkResult:
    """One network. `report` is None where its training or its evaluation failed, for `reason`;
    `cpu_s` is what it learned for, without what a worker needs to get ready."""

    network: str
    model: str = ""
    cpu_s: float | None = None
    report: Json | None = None
    reason: str = ""

    @property
    def verdict(self) -> str:
        return "failed" if self.report is None else str(self.report["verdict"]["verdict"])

    def status_text(self) -> str:
        """In words, for a console."""
        model = f" ({self.model})" if self.model else ""
        why = self.reason if self.report is None else "; ".join(self.report["verdict"]["reasons"])
        return f"[bold]{self.network}[/bold]{model}: {self.verdict}; {escape(why)}"


def run(
    client: Client,
    dataset: Json,
    *,
    cpu_seconds: float,
    seed: int,
    networks: list[str] | None = None,
    watch: WaitForJob | None = None,
) -> Iterator[NetworkResult]:
    """One after the other. `networks`: all that the service has for data of this kind, unless it is
    given. Whoever interrupts it leaves no job behind. Raises UnknownArchitectureError."""
    known: list[str] = client.request("GET", "/v1").json()["architectures"][dataset["modality"]]
    for network in networks or []:
        if network not in (AUTO, *known):
            raise UnknownArchitectureError(f"{network}: known are {', '.join((AUTO, *known))}")
    work = _Work(client, dataset["id"], cpu_seconds, seed, watch or client.wait)
    # The first is what `auto` comes to.
    for network in networks or [AUTO, *known[1:]]:
        yield work.evaluate_network(network)


@dataclass(frozen=True)
class _Work:
    client: Client
    dataset: str
    cpu_seconds: float
    seed: int
    watch: WaitForJob

    def evaluate_network(self, network: str) -> NetworkResult:
        found = NetworkResult(network)
        spec = {
            "preset": "fast",
            "hyperparameters": {} if network == AUTO else {"architecture": network},
            "budget": {"cpu_seconds": self.cpu_seconds},
            "name": f"bench-{network}",
        }
        try:
            submitted = self.client.train(self.dataset, seed=self.seed, evaluate=False, **spec)
            job = self._done(submitted)
            found = replace(found, model=job["result"]["model_version"], cpu_s=self._learned(job))
            # As many samples of each: some scores move with the number.
            self._done(self.client.evaluate(found.model, seed=self.seed))
        except (JobFailedError, APIError) as failure:
            return replace(found, reason=str(failure))
        return replace(found, report=self.client.report(found.model))

    def _done(self, job: Json) -> Json:
        try:
            return self.watch(job["id"])
        except KeyboardInterrupt:
            with contextlib.suppress(APIError):  # it may just have ended
                self.client.cancel(job["id"])
            raise

    def _learned(self, job: Json) -> float:
        """The job's bill has more: a worker's first job loads what all need."""
        saved = self.client.request("GET", f"/v1/jobs/{job['id']}/checkpoints").json()
        return max(float(checkpoint["metrics"]["cpu_s"]) for checkpoint in saved)


def print_table(results: list[NetworkResult], console: Console) -> None:
    """The table, with intervals where the console is wide enough."""
    found = build_table(results, _with_interval)
    room = console.options.update(max_width=10 * console.width)
    if console.measure(found, options=room).maximum > console.width:
        found = build_table(results, lambda score: _figure(score["value"]))
    console.print(found)


def build_table(results: list[NetworkResult], format_score: Callable[[Json], str]) -> Table:
    """A row for each score, as `said`: real items, each network, naive samples."""
    columns = ("", "real", *(one.network for one in results), "naive")
    found = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in found.columns[1:]:
        column.justify = "right"
    found.columns[0].no_wrap = True
    reports = [one.report for one in results]
    measured = [report for report in reports if report is not None]
    found.add_row("verdict", "", *(_verdict(one) for one in results), "")
    seconds = ("" if one.cpu_s is None else f"{one.cpu_s:.1f}" for one in results)
    found.add_row("CPU-seconds", "", *seconds, "", end_section=True)
    for score in measured[0]["scores"] if measured else ():
        mine = [_score(report, score["name"]) for report in reports]
        marks = _marks(mine)
        found.add_row(
            f"{score['name']} {DIRECTION_SYMBOLS[score['direction']]}",
            _figure(score["real_reference"]),
            *("" if s is None else format_score(s) + m for s, m in zip(mine, marks, strict=True)),
            _figure(score["naive_baseline"]),
        )
    found.caption = LEGEND if measured else None
    found.caption_justify = "left"
    return found


def _verdict(one: NetworkResult) -> str:
    return f"[{'green' if one.verdict == 'good' else 'red'}]{one.verdict}[/]"


def _score(report: Json | None, name: str) -> Json | None:
    return next((s for s in (report or {"scores": []})["scores"] if s["name"] == name), None)


def _marks(scores: list[Json | None]) -> list[str]:
    """A star for whatever may be the best, by its interval; none where that is all of them. As good
    as real items is as good as can be: fewer copies than by chance are no merit."""
    known = [score for score in scores if score is not None]
    best = min(max(_least_bad(s, s["value"], s["value"]), _real(s)) for s in known)
    may = [s is not None and max(_least_bad(s, *s["ci95"]), _real(s)) <= best for s in scores]
    if sum(may) == len(known):
        return [" " for _ in scores]
    return ["*" if one else " " for one in may]


def _least_bad(score: Json, low: float, high: float) -> float:
    """How bad values from `low` to `high` are at the least."""
    if score["direction"] == "target":
        return max(0.0, low - 0.5, 0.5 - high)
    return low if score["direction"] == "lower" else -high


def _real(score: Json) -> float:
    real = score["real_reference"]
    return float("-inf") if real is None else _least_bad(score, real, real)


def _with_interval(score: Json) -> str:
    half = (score["ci95"][1] - score["ci95"][0]) / 2
    return f"{score['value']:.3f} ± {half:.3f}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
