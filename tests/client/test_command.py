"""Command line: streams, exit codes, login, completion and narrow terminals."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import httpx
import pytest
import torch
from semblance import APIError, Client
from semblance.command.conditions import parse_where
from semblance.command.data import print_issues, print_lift
from semblance.command.options import parse_counts, parse_gate
from semblance.command.output import align
from semblance.command.progress import sparkline
from semblance.command.verdicts import print_outcome, print_verdict
from semblance.configuration import login_file

from models.metrics.verdict import VerdictName
from tests.client.conftest import run
from tests.client.flaky_server import flaky_server, respond
from tests.client.live import LiveApplication
from tests.conftest import KEY
from tests.factories import create_trained_model
from tests.uploads import make_people_csv
from worker.job_runner import run_next


@pytest.fixture
def people(service: LiveApplication) -> None:
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {KEY}"}) as http:
        create_trained_model(http, "people")  # type: ignore[arg-type]


def test_ids_and_results_are_all_that_standard_output_has(
    people: None, api: Client, tmp_path: Path
) -> None:
    table = tmp_path / "my people.csv"
    table.write_bytes(make_people_csv())
    dataset = run("upload", str(table), "--target", "income").stdout.strip()
    assert api.read_dataset(dataset)["name"] == "my people"
    listed = run("datasets").stdout.splitlines()
    assert sorted(line.split("\t")[1] for line in listed) == ["my people", "people"]
    assert dataset in {row["id"] for row in json.loads(run("datasets", "--json").stdout)}

    rows = run("sample", "people", "--label", ">50K=3", "--seed", "1")
    assert rows.stderr == ""
    assert rows.stdout.count(">50K\n") == 3
    out = tmp_path / "new.csv"
    written = run("sample", "people:1", str(out), "--label", ">50K=3", "--seed", "1")
    assert (written.code, written.stdout) == (0, f"{out}\n")
    assert out.read_text() == rows.stdout

    images = run("sample", "people", str(tmp_path / "new.npz"), "--count", "1")
    assert (images.code, "`csv` (text/csv)" in images.stderr) == (1, True)

    trained = run("jobs").stdout.split("\t")[0]
    watched = run("watch", trained)
    assert watched.stdout == "people:1\n"
    assert "succeeded, 100 %" in watched.stderr
    assert json.loads(run("watch", trained, "--json").stdout)["id"] == trained


def test_samples_meet_the_conditions_of_the_options(people: None) -> None:
    conditions = ["--count", "4", "--where", "income=>50K", "--where", "age>=30"]
    rows = run("sample", "people", *conditions)
    header, *lines = rows.stdout.splitlines()
    age = header.split(",").index("age")
    assert (rows.code, len(lines)) == (0, 4)
    assert all(float(line.split(",")[age]) >= 30 and line.endswith(">50K") for line in lines)
    as_json = ["--count", "4", "--where-json", '{"income": ">50K", "age": {"gte": 30}}']
    assert len(run("sample", "people", *as_json).stdout.splitlines()) == 5
    refused = run("sample", "people", "--count", "1", "--where", "agee=3")
    assert (refused.code, "Did you mean `age`?" in refused.stderr) == (1, True)


def test_conditions_are_values_lists_of_them_and_ranges() -> None:
    items = ("state=Ohio", "state=Texas", "age>=60", "age<70", "income=>50K", "fee=")
    assert parse_where(items) == {
        "state": ["Ohio", "Texas"],
        "income": ">50K",
        "fee": None,
        "age": {"gte": "60", "lt": "70"},
    }
    for wrong in (
        ("age",),
        ("age>=",),
        ("age>1", "age>2"),
        ("age=1", "age>2"),
        ("age==1",),
        ("age!=1",),
        ("=1",),
    ):
        with pytest.raises(click.BadParameter):
            parse_where(wrong)


def test_the_worst_issues_of_a_table_follow_an_upload(
    service: LiveApplication, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "notes.csv"
    rows = [f"{k},{'n/a' if k % 9 == 0 else k * 1.5}" for k in range(100)]
    table.write_text("\n".join(["id,amount", *rows]))
    uploaded = run("upload", str(table))
    assert "info: missing_value_markers (1): Words such as NA" in uploaded.stderr
    assert "so samples contain them too. (amount: 12 of 100 rows)" in uploaded.stderr
    issues: list[Any] = [
        {
            "code": f"code_{k}",
            "severity": severity,
            "count": k,
            "hint": "A\nhint.",
            "examples": ["a: 1", "b: 2"] if severity == "error" else [],
        }
        for k, severity in enumerate(["info"] * 11 + ["error", "warning"])
    ]
    print_issues(issues, "ds_1")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "error: code_11 (11): A hint. (a: 1; b: 2; …)",
        "warning: code_12 (12): A hint.",
    ]
    assert (len(lines), lines[-1]) == (11, "3 more: /v1/datasets/ds_1/issues")


def test_options_of_a_dataset_are_read_from_json_or_a_file(
    service: LiveApplication, api: Client, tmp_path: Path
) -> None:
    table, meta = tmp_path / "people.csv", tmp_path / "meta.json"
    table.write_text("\n".join(["name;age", *(f"Person {k};{k % 50}" for k in range(100))]))
    meta.write_text('{"exclude_columns": ["name"], "read": {"delimiter": ";"}, "target": "name"}')
    dataset = api.read_dataset(
        run("upload", str(table), "--meta", f"@{meta}", "--target", "age").stdout.strip()
    )
    assert dataset["table"]["columns"] == 2  # separated as `read` says
    assert dataset["table"]["target"] == "age"  # the option itself has precedence
    excluded = [c["name"] for c in api.read_schema(dataset["id"])["columns"] if c["exclude"]]
    assert excluded == ["name"]
    for wrong in ("[]", "{", "@missing.json"):
        assert run("upload", str(table), "--meta", wrong).code == 2
    existing = run("train", dataset["id"], "--meta", '{"target": "age"}')
    assert (existing.code, "require a file" in existing.stderr) == (2, True)


def test_a_detached_job_is_printed_and_can_be_cancelled(people: None, api: Client) -> None:
    dataset = next(api.iter_datasets())["id"]
    job = run("train", dataset, "--name", "my people", "--detach").stdout.strip()
    assert api.read_job(job)["name"] == "my people"
    assert run("cancel", job).stdout == "cancelled\n"
    assert run("cancel", job).code == 0  # as if the response to the first try was lost
    watched = run("watch", job)
    assert (watched.code, watched.stdout) == (5, "")
    assert "cancelled" in watched.stderr


def test_models_datasets_and_jobs_are_deleted_after_a_question(people: None, api: Client) -> None:
    job = run("jobs").stdout.split("\t")[0]
    dataset = next(api.iter_datasets())["id"]
    for answer in ("n\n", ""):
        refused = run("delete", "people", job, input=answer)
        assert (refused.code, refused.stdout) == (1, "")
        assert f"Delete people:1, {job}?" in refused.stderr
        assert "Nothing was deleted. Pass --yes" in refused.stderr
    assert [model["reference"] for model in api.iter_models()] == ["people:1"]

    deleted = run("delete", "people", job, input="y\n")
    assert (deleted.code, deleted.stdout) == (0, f"people:1\n{job}\n")
    assert not list(api.iter_models())
    assert not list(api.iter_jobs())
    unknown = run("delete", dataset, "people", "--yes")
    assert (unknown.code, "does not exist" in unknown.stderr) == (1, True)
    assert json.loads(run("delete", dataset, "--yes", "--json").stdout) == {"deleted": [dataset]}
    assert not list(api.iter_datasets())


def test_names_of_the_same_model_delete_it_once(people: None) -> None:
    deleted = run("delete", "people", "people:1", "people", "--yes", "--json")
    assert (deleted.code, json.loads(deleted.stdout)) == (0, {"deleted": ["people:1"]})


def test_what_was_deleted_is_printed_if_a_later_deletion_fails(people: None, api: Client) -> None:
    dataset = next(api.iter_datasets())["id"]
    run("train", dataset, "--detach")  # an unfinished job needs its dataset
    failed = run("delete", "people", dataset, "--yes", "--json")
    assert (failed.code, json.loads(failed.stdout)) == (1, {"deleted": ["people:1"]})


def test_a_dataset_is_deleted_with_what_came_from_it_on_request(people: None, api: Client) -> None:
    dataset = next(api.iter_datasets())["id"]
    run("augment", dataset, "--strategy", "balance", "--detach")
    assert run_next(["evaluation"])
    augmented = next(each["id"] for each in api.iter_datasets() if each["id"] != dataset)
    assert run("delete", "people", "--cascade", "--yes").code == 2
    kept = run("delete", dataset, input="n\n")
    assert f"{dataset} (1 model, 2 jobs, 1 dataset that came from it remain)?" in kept.stderr
    refused = run("delete", dataset, "--cascade", input="n\n")
    assert "1 dataset that came from it too)?" in refused.stderr
    deleted = run("delete", augmented, dataset, "--cascade", "--yes")
    assert (deleted.code, deleted.stdout) == (0, f"{dataset}\n")
    assert not list(api.iter_models())
    assert not list(api.iter_jobs())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sample", "nothing", "--count", "1"], 1, "does not exist"),
        (["jobs", "--colour"], 2, "No such option"),
        (["train", "nowhere.csv"], 2, "neither a file nor a dataset 'nowhere.csv'"),
        (["upload", "nowhere.csv"], 2, "'nowhere.csv' does not exist"),
        (["sample", "shoes", "--label", "ant"], 2, "LABEL=COUNT"),
        (["sample", "people", "--where", "age>=60"], 2, "--where needs --count"),
        (["sample", "people", "--count", "1", "--where", "age"], 2, "has none of the operators"),
        (["sample", "people", "--count", "1", "--where-json", "[]"], 2, "is not an object"),
        (["jobs", "--key", "sem_wrong"], 3, "not valid"),
        (["jobs", "--url", "http://127.0.0.1:9"], 4, "Cannot connect"),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    service: LiveApplication,
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semblance.retries.FIRST_CONTACT_S", 0.1)
    outcome = run(*arguments)
    assert (outcome.code, outcome.stdout) == (code, "")
    assert message in outcome.stderr


@pytest.mark.parametrize(
    ("detail", "message", "lines"),
    [
        ("/count: Must be 1.", "Must be 1.", 1),
        ("Must be 1.", "Must be 1.", 1),
        ("Column 'x': Must be 1.", "Must be 1.", 1),
        ("The request is invalid.", "Must be 1.", 2),
    ],
)
def test_an_error_is_not_printed_twice(detail: str, message: str, lines: int) -> None:
    error = APIError(422, {"detail": detail, "errors": [{"pointer": "/count", "message": message}]})
    assert len(str(error).splitlines()) == lines


def test_each_of_several_errors_has_its_pointer() -> None:
    errors = [{"pointer": pointer, "message": "Must be 1."} for pointer in ("/a", "/b")]
    error = APIError(422, {"detail": "Must be 1.", "errors": errors})
    assert str(error).splitlines() == ["Must be 1.", "  /a: Must be 1.", "  /b: Must be 1."]


def test_a_command_without_a_key_names_the_ways_to_set_one(
    service: LiveApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEMBLANCE_KEY")
    outcome = run("jobs")
    assert outcome.code == 3
    assert "SEMBLANCE_KEY" in outcome.stderr
    assert "semblance login" in outcome.stderr


def test_a_key_is_stored_for_its_service_and_for_its_user_alone(
    service: LiveApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEMBLANCE_KEY")
    assert run("login", service.url, input="sem_wrong\n").code == 3
    assert not login_file().exists()
    logged_in = run("login", service.url, input=f"{KEY}\n")
    assert (logged_in.code, logged_in.stdout) == (0, "")
    assert login_file().stat().st_mode & 0o777 == 0o600
    assert run("jobs").code == 0
    other = run("jobs", "--url", "http://other.example")  # it must not receive the key
    assert other.code == 3


def test_keys_are_created_listed_and_revoked(service: LiveApplication, api: Client) -> None:
    created = json.loads(run("keys", "create", "ci", "--scope", "read", "--json").stdout)
    assert run("jobs", "--key", created["key"]).code == 0
    assert run("keys", "revoke", created["id"]).stdout == ""
    assert run("jobs", "--key", created["key"]).code == 3
    states = {line.split("\t")[1]: line.split("\t")[4] for line in run("keys").stdout.splitlines()}
    assert states == {"test": "valid", "ci": "revoked"}


def test_a_key_is_created_with_its_own_quotas(service: LiveApplication) -> None:
    quotas = ("--quota", "key_requests_per_minute=7", "--quota", "key_streams=2")
    created = json.loads(run("keys", "create", "ci", *quotas, "--json").stdout)
    assert created["quotas"] == {"key_requests_per_minute": 7, "key_streams": 2}
    for quota, message in (("key_streams", "NAME=LIMIT"), ("ants=1", "key_streams")):
        rejected = run("keys", "create", "ci", "--quota", quota)
        assert rejected.code != 0
        assert message in rejected.stderr


def test_a_key_that_may_only_sample_is_enough_for_samples(people: None, api: Client) -> None:
    key = run("keys", "create", "colleague", "--scope", "sample").stdout.strip()
    rows = run("sample", "people", "--count", "3", "--key", key)
    assert (rows.code, len(rows.stdout.splitlines())) == (0, 4)
    assert api.samples("people", count=3).startswith(b"id,age")  # no format of images


def test_usage_and_reports_are_printed(people: None) -> None:
    assert run("usage").stdout.split("\t")[0] == "training"
    report = run("report", "people")
    assert report.stdout == (
        "not_evaluated: run `semblance evaluate people:1` to evaluate the model\n"
    )
    assert json.loads(run("report", "people", "--json").stdout)["state"] == "not_evaluated"


def test_a_model_below_its_quality_gate_has_an_exit_code() -> None:
    problem = b'{"code": "quality_gate_failed", "detail": "The model fails its quality gate."}'
    with flaky_server(respond(409, problem)) as server:
        arguments = ("people", "-", "--format", "csv", "--url", server.url, "--key", "k")
        outcome = run("sample", *arguments)
    assert (outcome.code, outcome.stdout) == (6, "")
    assert "fails its quality gate" in outcome.stderr


def test_ids_presets_and_labels_are_completed(people: None, api: Client) -> None:
    def complete(*words: str) -> list[str]:
        completed = subprocess.run(
            [sys.executable, "-m", "semblance.command"],
            env=_environment(_SEMBLANCE_COMPLETE="bash_complete", words=words),
            capture_output=True,
            text=True,
        )
        return [line.partition(",")[2] for line in completed.stdout.splitlines()]

    assert complete("semblance", "sample", "peo") == ["people:1"]
    assert complete("semblance", "train", "people", "--preset", "f") == ["fast"]
    assert complete("semblance", "sample", "people", "--label", "") == ["<=50K=", ">50K="]


def _environment(words: tuple[str, ...], **variables: str) -> dict[str, str]:
    line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return {**os.environ, **variables, **line}


@pytest.mark.parametrize("width", [40, 80])
def test_tables_fit_the_terminal(width: int) -> None:
    row = ["job_01m7zaj6wa37tq8eq5328jmbg5", "training", "a name that is rather long", "running"]
    lines = align([["id", "kind", "name", "state"], row], width)
    assert max(map(len, lines)) <= width
    assert ("…" in lines[1]) == (width == 40)


def test_a_curve_is_as_wide_as_there_is_room() -> None:
    assert sparkline([1.0, 8.0, 4.5], 2) == "█▁"
    assert sparkline([2.0, 2.0], 10) == "▁▁"


def test_lift_that_was_not_measured_is_printed_as_not_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_lift({"lift": None, "recommendation": {"use": None, "reason": "0 complete rounds fit"}})
    assert capsys.readouterr() == ("", "not measured: 0 complete rounds fit\n")


def test_a_failed_evaluation_is_printed_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_verdict({"verdict": None, "state": "failed", "error": {"detail": "[/x]"}})
    assert capsys.readouterr().out == "failed: [/x]\n"


@pytest.mark.parametrize("verdict", get_args(VerdictName))
def test_a_verdict_is_followed_by_the_next_step(
    verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    view = {"verdict": verdict, "reasons": ["the main reason", "another"]}
    print_outcome({"verdict": view, "reference": "shoes:2"})
    out, err = capsys.readouterr()
    conclusion, next_step = err.splitlines()
    assert (out, conclusion) == ("", f"verdict: {verdict}; the main reason")
    assert "shoes:2" in next_step


@pytest.fixture
def worker(service: LiveApplication) -> Iterator[None]:
    """Run the due jobs in a thread."""
    torch.set_num_threads(1)
    stopped = threading.Event()

    def work() -> None:
        while not stopped.wait(0.05):
            run_next(["training", "evaluation"])

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stopped.set()
    thread.join()


def test_train_prints_the_model_its_warnings_and_why_there_is_no_verdict(
    worker: None, tmp_path: Path
) -> None:
    table = tmp_path / "people.csv"
    table.write_bytes(make_people_csv())
    arguments = ("--target", "income", "--preset", "fast", "--steps", "1")
    trained = run("train", str(table), *arguments)
    assert trained.stdout == "people:1\n"
    assert "warning: The budget is too small to use every training item once." in trained.stderr
    assert trained.stderr.splitlines()[-1].startswith("not_evaluated: run `semblance evaluate")


def test_train_names_the_columns_of_a_warning_and_how_serious_it_is(
    service: LiveApplication, tmp_path: Path
) -> None:
    rows = ["email,note"]
    for n in range(400):
        email = f"person{n}@example.com" if n < 15 else "info@example.com"
        rows.append(f"{email},Words {n} of {n * n} that nobody else has written in row {n} of it")
    table = tmp_path / "mails.csv"
    table.write_text("\n".join(rows))
    trained = run("train", str(table), "--steps", "300", "--detach")
    lines = trained.stderr.splitlines()
    (personal,) = (line for line in lines if "can identify people" in line)
    assert personal.startswith("error: Samples would show")
    assert personal.endswith("(email (email): 15 values in fewer than 10 rows each)")
    assert any(line.startswith("warning: Free text") and line.endswith("(note)") for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preset", "fastest"), "fastest"),
        (("--steps", "0"), "--steps"),
        (("--cpu-seconds", "0"), "--cpu-seconds"),
        (("--gpu-seconds", "-1"), "--gpu-seconds"),
        (("--steps", "5", "--cpu-seconds", "5"), "only one of"),
        (("--gpu-seconds", "5", "--device", "cpu"), "--device"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_train_uploads_nothing_if_an_option_is_wrong(
    service: LiveApplication, api: Client, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    table = tmp_path / "people.csv"
    table.write_bytes(make_people_csv())
    trained = run("train", str(table), *options)
    assert (trained.code, trained.stdout) == (2, "")
    assert message in trained.stderr
    assert list(api.iter_datasets()) == []


@pytest.mark.parametrize("argument", ["ant", "ant=", "=3", "ant=x", "ant=-1", "ant=1.5"])
def test_labels_without_a_valid_count_are_rejected(argument: str) -> None:
    assert parse_counts(("a=b=2",)) == {"a=b": 2}
    with pytest.raises(click.BadParameter, match="LABEL=COUNT"):
        parse_counts((argument,))


def test_quality_gate_is_parsed_from_command_line_words() -> None:
    assert parse_gate(()) is None
    assert parse_gate(("good", "poor", "tstr_score>=0.8")) == {
        "allowed_verdicts": ["good", "poor"],
        "scores": {"tstr_score": {"min": 0.8}},
    }
    assert parse_gate(("pairwise_tvd<=0.05", "pairwise_tvd>=0.01", "coverage>=90%")) == {
        "scores": {
            "pairwise_tvd": {"max": 0.05, "min": 0.01},
            "coverage": {"min_fraction_of_reference": 0.9},
        }
    }
    for invalid in ("tstr_score>0.8", "pairwise_tvd<=50%", "pairwise_tvd>=", "a b"):
        with pytest.raises(click.BadParameter):
            parse_gate((invalid,))
