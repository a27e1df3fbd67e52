"""Random requests to every operation: no server error, and only answers that are documented.

schemathesis generates the requests from the OpenAPI document. The short test sends a few of each
operation to the application in this process, the long one thousands to a server with a worker,
with sequences such as creating, reading and deleting a resource.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from core import workers
from core.database import write
from core.tables import JobState
from tests.app.test_lists import add_job
from tests.factories import create_dataset, create_model
from tests.processes import Server, eventually, serving
from tests.tiny_configs import TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG
from tests.uploads import make_image_zip, make_people_csv

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
NEGATIVE_STATUSES = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 416, 422]
LONG_CHECKS = (
    *CHECKS,
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
)


def test_answers_to_random_requests_are_documented(client: TestClient) -> None:
    from schemathesis import checks

    from tests.contract import schemathesis_hooks  # noqa: F401 - registers media types

    known = {
        "dataset_id": create_dataset(make_people_csv(40), "people.csv", target="income"),
        "reference": create_model("shoes").id,
        "job_id": add_job("shoes", state=JobState.FAILED),
    }
    with write() as session:  # without a worker, the service is not ready
        workers.heartbeats(session, {"wkr_1": workers.describe(queues=["training"], host="here")})
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    functions = checks.CHECKS.get_by_names(CHECKS)
    answered = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=2,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), knows=st.booleans())
        def send(case: Any, knows: bool) -> None:
            nonlocal answered
            if knows:
                case.path_parameters |= {
                    k: v for k, v in known.items() if k in case.path_parameters
                }
            request = case.as_transport_kwargs(base_url="http://localhost")
            del request["cookies"]
            if isinstance(request.get("data"), bytes):
                request["content"] = request.pop("data")
            response = client.request(**request)
            response.request.read()  # the body of a form is a stream, which schemathesis reads
            case.validate_response(response, checks=functions)
            answered += 1

        send()
    assert answered >= 2 * 80


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_server_with_a_worker_withstands_thousands_of_requests(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    # A busy machine must not lose the jobs.
    with serving(folder, SEMBLANCE_LEASE_SECONDS="60") as server:
        eventually(server.is_ready, within=600)
        configuration = {
            "hooks": str(HOOKS),
            "base-url": server.url,
            "request-timeout": 60,
            "headers": {"Authorization": f"Bearer {(folder / 'admin.key').read_text().strip()}"},
            "checks": {"negative_data_rejection": {"expected-statuses": NEGATIVE_STATUSES}},
        }
        file = tmp_path / "schemathesis.toml"
        images, table = _train(server, tmp_path)
        # Coverage tries each bound of each parameter; stateful tests follow links between
        # operations and delete what they have created.
        for known, options in (
            (images, ["--phases", "examples,coverage", "--exclude-method", "DELETE"]),
            (table, ["--phases", "examples,coverage", "--exclude-method", "DELETE"]),
            ({}, ["--phases", "fuzzing", "--max-examples", "10"]),
            ({}, ["--phases", "stateful", "--max-examples", "60"]),
        ):
            file.write_text(_to_toml(configuration | {"parameters": known}))
            tool = [sys.executable, "-m", "schemathesis.cli", "--config-file", file, "run"]
            document = f"{server.url}/openapi.json"
            checks = ["--checks", ",".join(LONG_CHECKS), "--continue-on-failure"]
            command = [*tool, document, *checks, "--no-color", "--warnings", "off", *options]
            command += ["--max-time", "240", "--wait-for-schema", "60"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        assert server.is_ready()


def _train(server: Server, folder: Path) -> list[dict[str, Any]]:
    """Train a model of images and one of a table; return the ids that requests shall use."""
    (folder / "pets.zip").write_bytes(make_image_zip())
    (folder / "people.csv").write_bytes(make_people_csv())
    with server.client() as client:
        datasets = [
            client.upload(folder / "pets.zip")["id"],
            client.upload(folder / "people.csv", target="income")["id"],
        ]
        configs = (TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG)
        jobs = [
            client.train(dataset, preset="fast", hyperparameters=config, budget={"steps": 20})["id"]
            for dataset, config in zip(datasets, configs, strict=True)
        ]
        for job in jobs:
            assert client.wait(job)["state"] == "succeeded"
    return [
        {
            "path.dataset_id": dataset,
            "path.job_id": job,
            "path.reference": reference,
            "path.step": 20,
            "path.index": 1,
        }
        for dataset, job, reference in zip(datasets, jobs, ("pets", "people:1"), strict=True)
    ]


def _to_toml(value: Any) -> str:
    """Return TOML in one line for each field: everything but objects is as in JSON."""
    return "".join(f"{name} = {_inline(field)}\n" for name, field in value.items())


def _inline(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{" + ", ".join(f'"{name}" = {_inline(part)}' for name, part in value.items()) + "}"
