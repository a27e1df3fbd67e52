"""Comparison of architectures, and its table."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from semblance import Client, JobFailedError, bench
from semblance.errors import UnknownArchitectureError
from starlette.testclient import TestClient

from tests.factories import clear_model_caches, create_dataset
from tests.uploads import make_people_csv
from worker.job_runner import run_next


class InlineWorkerClient(Client):
    """Client of the application in this process that runs the due jobs while it waits."""

    def __init__(self, http: TestClient) -> None:
        super().__init__(str(http.base_url), "")
        self._transport._http = http

    def wait(self, job_id: str, **options: Any) -> Any:
        while run_next(["training", "evaluation"]):
            pass
        return super().wait(job_id, **options)


@pytest.fixture
def inline_client(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InlineWorkerClient]:
    torch.set_num_threads(1)
    monkeypatch.setattr("models.metrics.gradient_boosting.TREES", 20)  # an evaluation is short
    yield InlineWorkerClient(client)
    clear_model_caches()


def render_table(results: list[bench.NetworkResult], width: int = 200) -> str:
    return "\n".join(bench.render_table(results, width))


def find_line(output: str, name: str) -> str:
    return next(line for line in output.splitlines() if re.search(rf"\b{name}\b", line))


def create_people_dataset(client: Client) -> Any:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    return client.request("GET", f"/v1/datasets/{dataset}").json()


@pytest.mark.slow
def test_bench_trains_each_network_for_the_same_time_and_prints_one_table(
    inline_client: InlineWorkerClient, client: TestClient
) -> None:
    dataset = create_people_dataset(inline_client)
    results = list(
        bench.run(inline_client, dataset, cpu_seconds=1, seed=1, networks=["auto", "gan"])
    )
    trainings = client.get("/v1/jobs?kind=training").json()["data"]
    assert [job["resolved"]["budget"]["cpu_seconds"] for job in trainings] == [1, 1]
    evaluations = client.get("/v1/jobs?kind=evaluation").json()["data"]
    assert len({job["resolved"]["samples"] for job in evaluations}) == 1
    output = render_table(results)
    for result in results:
        assert result.report is not None
        job = next(job for job in trainings if job["name"] == f"bench-{result.network}")
        last = client.get(f"/v1/jobs/{job['id']}/checkpoints").json()[0]
        assert last["metrics"]["cpu_s"] == result.cpu_s
        assert f"{result.cpu_s:.1f}" in find_line(output, "CPU").split()
        assert result.model in result.status_text()
        assert result.report["verdict"]["reasons"][0] in result.status_text()
        for score in result.report["scores"]:
            line = find_line(output, score["name"])
            assert f"{score['value']:.3f} ±" in line
            assert score["real_reference"] is None or f"{score['real_reference']:.3f}" in line


def test_bench_table_keeps_the_other_networks_when_one_fails(
    inline_client: InlineWorkerClient, client: TestClient
) -> None:
    dataset = create_people_dataset(inline_client)

    def watch(job_id: str) -> Any:
        job = inline_client.read_job(job_id)
        if job["name"] != "bench-auto":
            return inline_client.wait(job_id)
        client.post(f"/v1/jobs/{job_id}/cancel")
        raise JobFailedError({**job, "state": "failed", "error": {"detail": "it [never] learned"}})

    results = list(
        bench.run(
            inline_client, dataset, cpu_seconds=1, seed=1, networks=["auto", "gan"], watch=watch
        )
    )
    assert [result.report is None for result in results] == [True, False]
    assert "failed" in find_line(render_table(results), "verdict")
    assert results[0].status_text() == "auto: failed; it [never] learned"


def test_bench_reports_a_network_that_the_service_rejects_as_failed(
    inline_client: InlineWorkerClient, client: TestClient
) -> None:
    dataset = create_people_dataset(inline_client)
    results = list(
        bench.run(inline_client, dataset, cpu_seconds=-1, seed=1, networks=["auto", "gan"])
    )
    assert [result.verdict for result in results] == ["failed", "failed"]
    assert all("greater than" in result.reason for result in results)


def test_bench_rejects_an_unknown_network_before_any_training(
    inline_client: InlineWorkerClient, client: TestClient
) -> None:
    dataset = create_people_dataset(inline_client)
    with pytest.raises(UnknownArchitectureError, match=r"'dcgan'.* Choose from: auto, .*gan"):
        list(bench.run(inline_client, dataset, cpu_seconds=1, seed=1, networks=["auto", "dcgan"]))
    assert client.get("/v1/jobs").json()["data"] == []


def test_interrupting_bench_cancels_its_jobs(
    inline_client: InlineWorkerClient, client: TestClient
) -> None:
    dataset = create_people_dataset(inline_client)

    def watch(job_id: str) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(bench.run(inline_client, dataset, cpu_seconds=1, seed=1, watch=watch))
    assert [job["state"] for job in client.get("/v1/jobs").json()["data"]] == ["cancelled"]


def build_report(value: float, half_width: float, *, copies: float = 0.0) -> dict[str, Any]:
    def score(
        name: str,
        direction: str,
        value: float,
        reference: float | None,
        half_width: float = half_width,
    ) -> dict[str, Any]:
        ci95, rest = (
            [value - half_width, value + half_width],
            {"direction": direction, "naive_baseline": 0.4},
        )
        return {"name": name, "value": value, "ci95": ci95, "real_reference": reference, **rest}

    return {
        "verdict": {"verdict": "memorized", "reasons": ["so"]},
        "scores": [
            score("frechet_distance", "lower", 20 * (1 - value), None),
            score("label_accuracy", "higher", value, 0.95),
            score("detection_auc", "target", 1.5 - value, 0.5),
            score("near_duplicate_rate", "lower", copies, 0.02, half_width=0.001),
        ],
    }


def test_values_not_significantly_worse_than_the_best_are_marked_unless_all_are() -> None:
    reports = [
        build_report(0.9, 0.01),
        build_report(0.89, 0.02, copies=0.01),
        build_report(0.7, 0.01),
    ]
    output = render_table([bench.NetworkResult(f"n{i}", report=r) for i, r in enumerate(reports)])
    expected = r"0\.900 ± 0\.010\* +0\.890 ± 0\.020\* +0\.700 ± 0\.010 "
    assert re.search(expected, find_line(output, "label_accuracy"))
    assert re.search(r"2\.000 ± \S+\* +2\.200 ± \S+ +6\.0", find_line(output, "frechet_distance"))
    assert re.search(r"0\.600 ± \S+\* +0\.610 ± \S+\* +0\.8", find_line(output, "detection_auc"))
    assert "*" not in find_line(output, "near_duplicate_rate")  # all equal within their intervals


def test_table_of_five_networks_fits_a_console_of_80_columns() -> None:
    names = ["auto", "cvae", "cgan", "dcgan", "mlp"]
    results = [bench.NetworkResult(name, "", 30.1, build_report(0.45, 0.01)) for name in names[:-1]]
    output = render_table(
        [*results, bench.NetworkResult("mlp", reason="it never learned")], width=80
    )
    assert max(map(len, output.splitlines())) <= 80
    assert find_line(output, "frechet_distance").split() == [
        "frechet_distance",
        "↓",
        *["11.000"] * 4,
        "0.400",
    ]
    assert find_line(output, "label_accuracy").split()[2:] == ["0.950", *["0.450"] * 4, "0.400"]
    assert find_line(output, "CPU").split()[1:] == ["30.1"] * 4
