"""Command line of the client: bench, printing, and parsing of quality gates."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import typer
from rich.console import Console
from rich.text import Text
from semblance import Client, bench, command
from semblance.command import app, parse_gate
from semblance.errors import JobFailedError, UnknownArchitectureError
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.factories import clear_model_caches, create_dataset
from tests.uploads import make_people_csv
from worker.job_runner import run_next


class InlineWorkerClient(Client):
    """Client of the application in this process that runs the due jobs while it waits."""

    def __init__(self, http: TestClient) -> None:
        self._http = http

    def wait(self, job_id: str, **options: Any) -> Any:
        while run_next(["training", "evaluation"]):
            pass
        return super().wait(job_id, **options)


@pytest.fixture
def inline_client(client: TestClient) -> Iterator[InlineWorkerClient]:
    torch.set_num_threads(1)
    yield InlineWorkerClient(client)
    clear_model_caches()


def render_table(results: list[bench.NetworkResult], width: int = 200) -> str:
    out = io.StringIO()
    bench.print_table(results, Console(width=width, file=out))
    return out.getvalue()


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
    assert Text.from_markup(results[0].status_text()).plain == "auto: failed; it [never] learned"


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


@pytest.mark.parametrize("verb", ["bench", "upload"])
def test_missing_file_is_named(verb: str) -> None:
    completed = CliRunner().invoke(app, [verb, "nowhere.csv", "--key", "k"], env={"COLUMNS": "200"})
    assert completed.exit_code == 2
    assert "'nowhere.csv' does not exist" in completed.output


def test_names_that_look_like_markup_are_printed_unchanged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # rich reads square brackets as markup.
    row = {"name": "[/nope]", "real": 1, "transforms": 2, "model": 0, "skipped": 3}
    reason, warning = ({"code": "any", "message": text} for text in ("[red]", "3 of [/nope]"))
    plan = {"labels": [{**row, "skip_reasons": [reason]}], "warnings": [warning]}
    out = io.StringIO()
    Console(width=200, file=out).print(command._plan(plan))
    for name in ("[/nope]", "[red]", "3 of [/nope]"):
        assert name in out.getvalue()
    command.print_line("m" * 128 + ":[/b]")
    assert capsys.readouterr().out == "m" * 128 + ":[/b]\n"
    command.print_verdict({"verdict": None, "state": "failed", "error": {"detail": "[/x]"}})
    assert capsys.readouterr().out == "failed: [/x]\n"


def test_verdict_of_a_model_without_an_evaluation_names_the_command_that_evaluates_it(
    inline_client: InlineWorkerClient, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = create_people_dataset(inline_client)
    inline_client.train(dataset["id"], name="people", budget={"steps": 4}, evaluate=False)
    assert run_next(["training"])
    command.print_verdict(inline_client.report("people", wait=True))
    assert capsys.readouterr().out == (
        "not_evaluated: run `semblance evaluate people:1` to evaluate the model\n"
    )


def test_lift_that_was_not_measured_is_printed_as_not_measured() -> None:
    advice = {"use": None, "reason": "0 complete rounds fit"}
    output = command._lift({"lift": None, "recommendation": advice})
    assert output == "not measured: 0 complete rounds fit"


@pytest.mark.parametrize("argument", ["ant", "ant=", "=3", "ant=x", "ant=-1", "ant=1.5"])
def test_labels_without_a_valid_count_are_rejected(argument: str) -> None:
    assert command._counts(["a=b=2"]) == {"a=b": 2}
    with pytest.raises(typer.BadParameter, match="LABEL=COUNT"):
        command._counts([argument])


def test_quality_gate_is_parsed_from_command_line_words() -> None:
    assert parse_gate([]) is None
    assert parse_gate(["good", "poor", "tstr_score>=0.8"]) == {
        "allowed_verdicts": ["good", "poor"],
        "scores": {"tstr_score": {"min": 0.8}},
    }
    assert parse_gate(["pairwise_tvd<=0.05", "pairwise_tvd>=0.01", "coverage>=90%"]) == {
        "scores": {
            "pairwise_tvd": {"max": 0.05, "min": 0.01},
            "coverage": {"min_fraction_of_reference": 0.9},
        }
    }
    for invalid in ("tstr_score>0.8", "pairwise_tvd<=50%", "pairwise_tvd>=", "a b"):
        with pytest.raises(typer.BadParameter):
            parse_gate([invalid])
