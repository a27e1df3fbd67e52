"""What the user's own data is worth to the networks that there are: each learns for the same time,
and all are measured alike."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from semblance.client import Client, Json
from semblance.errors import JobFailed

AUTO = "auto"

Watch = Callable[[str], Json]  # from a job's id to the job when it has ended


@dataclass(frozen=True)
class Judged:
    """One network; `report` is None where its training or its evaluation failed, for `reason`."""

    network: str
    report: Json | None = None
    cpu_s: float = 0.0
    reason: str = ""


def run(
    client: Client,
    dataset: Json,
    *,
    cpu_seconds: float,
    seed: int,
    networks: list[str] | None = None,
    watch: Watch | None = None,
) -> list[Judged]:
    """`networks`: all that the service has for data of this kind, unless it is given."""
    wait = watch or client.wait
    known: list[str] = client.request("GET", "/v1").json()["architectures"][dataset["kind"]]
    # The first is what `auto` comes to.
    return [
        _judged(client, dataset, network, cpu_seconds, seed, wait)
        for network in networks or [AUTO, *known[1:]]
    ]


def _judged(
    client: Client, dataset: Json, network: str, cpu_seconds: float, seed: int, wait: Watch
) -> Judged:
    config = {} if network == AUTO else {"architecture": network}
    budget = {"cpu_seconds": cpu_seconds}
    name = f"bench-{network}"
    spec = {"preset": "fast", "config": config, "budget": budget, "seed": seed, "name": name}
    try:
        job = wait(client.train(dataset["id"], **spec, evaluate=False)["id"])
        model = job["result"]["model"]
        # As many samples of each: some scores move with the number.
        wait(client.evaluate(model, seed=seed)["id"])
    except JobFailed as failure:
        return Judged(network, reason=str(failure))
    return Judged(network, client.report(model), job["usage"]["cpu_s"])


def table(judged: list[Judged]) -> Table:
    """A row for each score: real items, each network, naive samples."""
    found = Table("", "real items", *(one.network for one in judged), "naive samples")
    reports = [one.report for one in judged]
    measured = [report for report in reports if report is not None]
    found.add_row("verdict", "", *(_verdict(one) for one in judged), "")
    found.add_row("CPU-seconds", "", *(f"{one.cpu_s:.0f}" for one in judged), "", end_section=True)
    for score in measured[0]["scores"] if measured else ():
        name = score["name"]
        mine = [_score(report, name) for report in reports]
        best = min((_badness(s) for s in mine if s is not None), default=0.0)
        found.add_row(
            name,
            _figure(score["ceiling"]),
            *(_cell(s, best) for s in mine),
            _figure(score["baseline"]),
        )
    return found


def _verdict(one: Judged) -> str:
    if one.report is None:
        return f"[red]failed: {escape(one.reason)}[/red]"
    finding: str = one.report["verdict"]["finding"]
    return f"[{'green' if finding == 'good' else 'red'}]{finding}[/]"


def _score(report: Json | None, name: str) -> Json | None:
    return next((s for s in (report or {"scores": []})["scores"] if s["name"] == name), None)


def _badness(score: Json) -> float:
    value: float = score["value"]
    return {"lower": value, "higher": -value, "half": abs(value - 0.5)}[score["direction"]]


def _cell(score: Json | None, best: float) -> str:
    if score is None:
        return ""
    half = (score["ci95"][1] - score["ci95"][0]) / 2
    said = f"{score['value']:.3f} ± {half:.3f}"
    return f"[bold]{said}[/bold]" if _badness(score) == best else said


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
