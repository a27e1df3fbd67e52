"""The client's own work: networks side by side on a user's file, and what a model has to be."""

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

from tests.factories import a_dataset, forget_models
from tests.uploads import people
from worker.job_runner import run_next


class Working(Client):
    """A client of the application in this process, which does the work while it waits."""

    def __init__(self, http: TestClient) -> None:
        self._http = http

    def wait(self, job_id: str, **options: Any) -> Any:
        while run_next(["training", "evaluation"]):
            pass
        return super().wait(job_id, **options)


@pytest.fixture
def working(client: TestClient) -> Iterator[Working]:
    torch.set_num_threads(1)
    yield Working(client)
    forget_models()


def printed(judged: list[bench.NetworkResult], width: int = 200) -> str:
    out = io.StringIO()
    bench.print_table(judged, Console(width=width, file=out))
    return out.getvalue()


def line_of(said: str, name: str) -> str:
    return next(line for line in said.splitlines() if re.search(rf"\b{name}\b", line))


def people_of(client: Client) -> Any:
    dataset = a_dataset(people(), "people.csv", target="income")
    return client.request("GET", f"/v1/datasets/{dataset}").json()


@pytest.mark.slow
def test_networks_learn_a_file_for_the_same_time_and_are_judged_in_one_table(
    working: Working, client: TestClient
) -> None:
    dataset = people_of(working)
    judged = list(bench.run(working, dataset, cpu_seconds=1, seed=1, networks=["auto", "gan"]))
    trainings = client.get("/v1/jobs?kind=training").json()["data"]
    assert [job["resolved"]["budget"]["cpu_seconds"] for job in trainings] == [1, 1]
    evaluations = client.get("/v1/jobs?kind=evaluation").json()["data"]
    assert len({job["resolved"]["samples"] for job in evaluations}) == 1
    said = printed(judged)
    for one in judged:
        assert one.report is not None
        job = next(job for job in trainings if job["name"] == f"bench-{one.network}")
        last = client.get(f"/v1/jobs/{job['id']}/checkpoints").json()[0]
        assert last["metrics"]["cpu_s"] == one.cpu_s
        assert f"{one.cpu_s:.1f}" in line_of(said, "CPU").split()
        assert one.model in one.status_text()
        assert one.report["verdict"]["reasons"][0] in one.status_text()
        for score in one.report["scores"]:
            line = line_of(said, score["name"])
            assert f"{score['value']:.3f} ±" in line
            assert score["real_reference"] is None or f"{score['real_reference']:.3f}" in line


def test_a_network_that_fails_leaves_the_others_in_the_table(
    working: Working, client: TestClient
) -> None:
    dataset = people_of(working)

    def watch(job_id: str) -> Any:
        job = working.job(job_id)
        if job["name"] != "bench-auto":
            return working.wait(job_id)
        client.post(f"/v1/jobs/{job_id}/cancel")
        raise JobFailedError({**job, "state": "failed", "error": {"detail": "it [never] learned"}})

    judged = list(
        bench.run(working, dataset, cpu_seconds=1, seed=1, networks=["auto", "gan"], watch=watch)
    )
    assert [one.report is None for one in judged] == [True, False]
    assert "failed" in line_of(printed(judged), "verdict")
    assert Text.from_markup(judged[0].status_text()).plain == "auto: failed; it [never] learned"


def test_a_network_that_the_service_refuses_is_a_failed_one(
    working: Working, client: TestClient
) -> None:
    dataset = people_of(working)
    judged = list(bench.run(working, dataset, cpu_seconds=-1, seed=1, networks=["auto", "gan"]))
    assert [one.verdict for one in judged] == ["failed", "failed"]
    assert all("greater than" in one.reason for one in judged)


def test_an_unknown_network_is_refused_before_anything_is_trained(
    working: Working, client: TestClient
) -> None:
    dataset = people_of(working)
    with pytest.raises(UnknownArchitectureError, match=r"'dcgan'.* Choose from: auto, .*gan"):
        list(bench.run(working, dataset, cpu_seconds=1, seed=1, networks=["auto", "dcgan"]))
    assert client.get("/v1/jobs").json()["data"] == []


def test_whoever_interrupts_leaves_no_job_behind(working: Working, client: TestClient) -> None:
    dataset = people_of(working)

    def watch(job_id: str) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(bench.run(working, dataset, cpu_seconds=1, seed=1, watch=watch))
    assert [job["state"] for job in client.get("/v1/jobs").json()["data"]] == ["cancelled"]


def a_report(value: float, half: float, *, copies: float = 0.0) -> dict[str, Any]:
    def score(
        name: str, direction: str, value: float, ceiling: float | None, half: float = half
    ) -> dict[str, Any]:
        ci95, said = [value - half, value + half], {"direction": direction, "naive_baseline": 0.4}
        return {"name": name, "value": value, "ci95": ci95, "real_reference": ceiling, **said}

    return {
        "verdict": {"verdict": "memorized", "reasons": ["so"]},
        "scores": [
            score("frechet_distance", "lower", 20 * (1 - value), None),
            score("label_accuracy", "higher", value, 0.95),
            score("detection_auc", "target", 1.5 - value, 0.5),
            score("near_duplicate_rate", "lower", copies, 0.02, half=0.001),
        ],
    }


def test_what_may_be_the_best_is_marked_unless_all_are() -> None:
    reports = [a_report(0.9, 0.01), a_report(0.89, 0.02, copies=0.01), a_report(0.7, 0.01)]
    said = printed([bench.NetworkResult(f"n{i}", report=r) for i, r in enumerate(reports)])
    marked = r"0\.900 ± 0\.010\* +0\.890 ± 0\.020\* +0\.700 ± 0\.010 "
    assert re.search(marked, line_of(said, "label_accuracy"))
    assert re.search(r"2\.000 ± \S+\* +2\.200 ± \S+ +6\.0", line_of(said, "frechet_distance"))
    assert re.search(r"0\.600 ± \S+\* +0\.610 ± \S+\* +0\.8", line_of(said, "detection_auc"))
    assert "*" not in line_of(said, "near_duplicate_rate")  # all within what chance makes


def test_five_networks_stand_side_by_side_on_a_narrow_console() -> None:
    names = ["auto", "cvae", "cgan", "dcgan", "mlp"]
    judged = [bench.NetworkResult(name, "", 30.1, a_report(0.45, 0.01)) for name in names[:-1]]
    said = printed([*judged, bench.NetworkResult("mlp", reason="it never learned")], width=80)
    assert max(map(len, said.splitlines())) <= 80
    assert line_of(said, "frechet_distance").split() == [
        "frechet_distance",
        "↓",
        *["11.000"] * 4,
        "0.400",
    ]
    assert line_of(said, "label_accuracy").split()[2:] == ["0.950", *["0.450"] * 4, "0.400"]
    assert line_of(said, "CPU").split()[1:] == ["30.1"] * 4


@pytest.mark.parametrize("verb", ["bench", "upload"])
def test_a_file_that_is_not_there_is_named(verb: str) -> None:
    done = CliRunner().invoke(app, [verb, "nowhere.csv", "--key", "k"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "'nowhere.csv' does not exist" in done.output


def test_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever they look like to what prints them."""
    row = {"name": "[/nope]", "real": 1, "transforms": 2, "model": 0, "skipped": 3}
    plan = {"labels": [{**row, "skip_reasons": ["[red]"]}], "warnings": ["skipped: 3 of [/nope]"]}
    out = io.StringIO()
    Console(width=200, file=out).print(command._plan(plan))
    for name in ("[/nope]", "[red]", "skipped: 3 of [/nope]"):
        assert name in out.getvalue()
    command.print_line("m" * 128 + ":[/b]")
    assert capsys.readouterr().out == "m" * 128 + ":[/b]\n"
    command.print_verdict({"verdict": None, "state": "failed", "error": {"detail": "[/x]"}})
    assert capsys.readouterr().out == "failed: [/x]\n"


def test_what_was_not_measured_is_not_advised_against() -> None:
    advice = {"use": None, "reason": "0 whole rounds were done in time"}
    said = command._lift({"lift": None, "recommendation": advice})
    assert said == "not measured: 0 whole rounds were done in time"


@pytest.mark.parametrize("word", ["ant", "ant=", "=3", "ant=x", "ant=-1", "ant=1.5"])
def test_labels_without_a_count_are_refused(word: str) -> None:
    assert command._counts(["a=b=2"]) == {"a=b": 2}
    with pytest.raises(typer.BadParameter, match="LABEL=COUNT"):
        command._counts([word])


def test_words_say_what_a_model_has_to_be() -> None:
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
    for wrong in ("tstr_score>0.8", "pairwise_tvd<=50%", "pairwise_tvd>=", "a b"):
        with pytest.raises(typer.BadParameter):
            parse_gate([wrong])
