"""Spans from a request to its job and the job's steps, exported by the SDK of OpenTelemetry."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import tracing
from core.log_context import LogContextFilter, log_fields, trace_id_of
from core.logging_config import JsonFormatter
from core.settings import get_settings
from tests.job_runs import create_training_job, run_training_job

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def spans_file(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("opentelemetry.sdk")
    path = tmp_path / "spans.json"
    monkeypatch.setenv("SEMBLANCE_TRACES_URL", path.as_uri())
    get_settings.cache_clear()
    return path


def read_spans(path: Path) -> list[dict[str, Any]]:
    tracing.flush()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_request_its_job_and_the_steps_are_one_trace(
    client: TestClient, spans_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client.headers["traceparent"] = TRACEPARENT
    with caplog.at_level(logging.INFO, "worker"), caplog.filtering(LogContextFilter()):
        job_id = create_training_job(client)
        del client.headers["traceparent"]
        assert run_training_job(client, job_id)["state"] == "succeeded"
    client.get("/livez")
    spans = [span for span in read_spans(spans_file) if span["context"]["trace_id"] == f"0x{TRACE}"]
    by_name = {span["name"]: span for span in spans}
    request, job = by_name["POST /v1/jobs"], by_name["job training"]
    assert request["parent_id"] == "0x00f067aa0ba902b7"
    assert request["attributes"]["http.response.status_code"] == 202
    assert job["parent_id"] == request["context"]["span_id"]
    assert job["attributes"]["job_id"] == job_id
    steps = [span for span in spans if span["name"] == "steps"]
    assert [span["attributes"]["last_step"] for span in steps][-1] == 20
    assert set(steps[-1]["attributes"]) > {"first_step", "last_step"}  # and the losses
    phases = {"phase preparing", "phase training", "phase finalizing"}
    assert phases <= set(by_name)
    inner = [*steps, *(by_name[name] for name in phases)]
    assert {span["parent_id"] for span in inner} == {job["context"]["span_id"]}
    for span in inner:  # within the job, and not of another clock
        assert job["start_time"] <= span["start_time"] <= span["end_time"] <= job["end_time"]
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    of_job = [line for line in lines if line["logger"] == "worker.job_runner"]
    assert {(line["job_id"], line["trace_id"]) for line in of_job} == {(job_id, TRACE)}


def test_requests_without_a_trace_begin_one_and_health_checks_do_not(
    client: TestClient, spans_file: Path
) -> None:
    client.get("/v1/jobs/job_1", headers={"traceparent": "00-0-0-00"})  # not valid
    client.get("/livez")
    (span,) = read_spans(spans_file)
    assert (span["name"], span["parent_id"]) == ("GET /v1/jobs/{job_id}", None)
    assert span["attributes"]["http.response.status_code"] == 404
    assert span["attributes"]["request_id"].startswith("req_")


def test_without_the_setting_nothing_of_opentelemetry_is_imported() -> None:
    program = "import core.tracing as t, sys; \nwith t.span('x') as s: assert s is None\n"
    program += "t.record_span('x', 0, 1, {}); t.flush(); assert t.current_traceparent() is None\n"
    program += "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_log_records_have_the_fields_of_their_block_unless_they_have_others() -> None:
    def format_record(**fields: object) -> dict[str, Any]:
        record = logging.makeLogRecord({"msg": "x", **fields})
        LogContextFilter().filter(record)
        line: dict[str, Any] = json.loads(JsonFormatter().format(record))
        return line

    with log_fields(request_id="req_1", trace_id=None):
        with log_fields(job_id="job_1"):
            line = format_record()
            assert (line["request_id"], line["job_id"]) == ("req_1", "job_1")
            assert format_record(job_id="job_2")["job_id"] == "job_2"
        line = format_record()
        assert not {"job_id", "trace_id"} & set(line)
    assert "request_id" not in format_record()


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (TRACEPARENT, TRACE),
        (None, None),
        ("", None),
        (TRACEPARENT.upper(), None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"{TRACEPARENT}-more", None),
    ],
)
def test_only_valid_trace_contexts_have_a_trace(
    traceparent: str | None, trace_id: str | None
) -> None:
    assert trace_id_of(traceparent) == trace_id
