"""The client's own work: networks side by side on a user's file, and what a model has to be."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import typer
from rich.console import Console
from semblance import Client, bench, command
from semblance.command import asked_of
from semblance.errors import JobFailed
from starlette.testclient import TestClient

from tests.app.conftest import forget_models, upload
from tests.app.test_row_samples import people
from worker.run import run_next


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


def printed(judged: list[bench.Judged]) -> str:
    out = io.StringIO()
    Console(width=200, file=out).print(bench.table(judged))
    return out.getvalue()


@pytest.mark.slow
def test_networks_learn_a_file_for_the_same_time_and_are_judged_in_one_table(
    working: Working, client: TestClient
) -> None:
    dataset = upload(client, people(), "people.csv", meta='{"target": "income"}').json()
    judged = bench.run(working, dataset, cpu_seconds=1, seed=1, networks=["auto", "mlp"])
    trainings = client.get("/v1/jobs?kind=training").json()["data"]
    assert [job["resolved_config"]["budget"]["cpu_seconds"] for job in trainings] == [1, 1]
    evaluations = client.get("/v1/jobs?kind=evaluation").json()["data"]
    assert len({job["resolved_config"]["samples"] for job in evaluations}) == 1
    said = printed(judged)
    for one in judged:
        assert one.report is not None
        for score in one.report["scores"]:
            line = next(x for x in said.splitlines() if re.search(rf"\b{score['name']}\b", x))
            assert f"{score['value']:.3f} ±" in line
            assert score["ceiling"] is None or f"{score['ceiling']:.3f}" in line


def test_a_network_that_fails_leaves_the_others_in_the_table(
    working: Working, client: TestClient
) -> None:
    dataset = upload(client, people(), "people.csv", meta='{"target": "income"}').json()

    def watch(job_id: str) -> Any:
        job = working.job(job_id)
        if job["name"] != "bench-auto":
            return working.wait(job_id)
        client.post(f"/v1/jobs/{job_id}/cancel")
        raise JobFailed({**job, "state": "failed", "error": {"detail": "it [never] learned"}})

    judged = bench.run(
        working, dataset, cpu_seconds=1, seed=1, networks=["auto", "mlp"], watch=watch
    )
    assert [one.report is None for one in judged] == [True, False]
    assert "failed: it [never] learned" in printed(judged)


def test_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever they look like to what prints them."""
    row = {"name": "[/nope]", "have": 1, "classical": 2, "gan": 0, "refused": 3}
    plan = {"labels": [{**row, "reasons": ["[red]"]}], "warnings": ["refused: 3 of [/nope]"]}
    out = io.StringIO()
    Console(width=200, file=out).print(command._plan(plan))
    for name in ("[/nope]", "[red]", "refused: 3 of [/nope]"):
        assert name in out.getvalue()
    command.say("m" * 128 + ":[/b]")
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
    assert asked_of([]) is None
    assert asked_of(["good", "poor", "utility>=0.8"]) == {
        "findings": ["good", "poor"],
        "scores": {"utility": {"at_least": 0.8}},
    }
    assert asked_of(["pairs<=0.05", "pairs>=0.01", "coverage>=90%"]) == {
        "scores": {"pairs": {"at_most": 0.05, "at_least": 0.01}, "coverage": {"of_ceiling": 0.9}}
    }
    for wrong in ("utility>0.8", "pairs<=50%", "pairs>=", "a b"):
        with pytest.raises(typer.BadParameter):
            asked_of([wrong])
