"""Uploads, downloads and waiting while the service restarts, over real connections."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from semblance import Client, JobFailedError, UnreachableError
from semblance._sync import transfers

from tests.client.live import LiveApplication
from tests.conftest import AddJob
from tests.factories import create_model
from tests.uploads import make_people_csv


def interrupt(client: Client, at_part: int, action: Callable[[], None]) -> None:
    """Run `action` instead of sending a part of an upload, once."""
    http: Any = client._transport._http
    send = http.request

    def request(method: str, path: str, **options: Any) -> httpx.Response:
        if method == "PUT" and path.endswith(f"/parts/{at_part}"):
            http.request = send
            action()
            raise httpx.ReadError("the connection was lost")
        return send(method, path, **options)  # type: ignore[no-any-return]

    http.request = request


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(transfers, "PART_BYTES", 4_000)
    monkeypatch.setattr("semblance._sync.client.MULTIPART_BYTES", 0)
    file = tmp_path / "people.csv"
    file.write_bytes(make_people_csv())
    return file


def test_an_upload_survives_a_restart_of_the_service(
    service: LiveApplication, api: Client, table: Path
) -> None:
    def restart() -> None:
        service.stop()
        threading.Timer(0.5, service.start).start()

    interrupt(api, 3, restart)
    dataset = api.upload(table, target="income")
    assert (dataset["state"], dataset["train_items"]) == ("ready", 400)


def test_an_upload_goes_on_in_another_process(
    service: LiveApplication, api: Client, table: Path
) -> None:
    with Client.from_env(patience=0) as first:
        interrupt(first, 3, lambda: None)
        with pytest.raises(UnreachableError):
            first.upload(table)
    sent = []

    def record(request: httpx.Request) -> None:
        if request.method == "PUT":
            sent.append(int(request.url.path.rsplit("/", 1)[1]))

    api._transport._http.event_hooks = {"request": [record]}
    assert api.upload(table)["train_items"] == 400
    assert sent[0] == 3  # the first two parts are there already
    assert sent == sorted(set(sent))


def test_waiting_for_a_job_survives_a_restart_of_the_service(
    service: LiveApplication, api: Client, add_job: AddJob
) -> None:
    queued, states = add_job(), []

    def restart_once(job: Any) -> None:
        if not states:
            service.stop()
            threading.Timer(0.3, service.start).start()
        elif len(states) == 1:
            api.cancel(job["id"])
        states.append(job["state"])

    with pytest.raises(JobFailedError, match="cancelled"):
        api.wait(queued.id, on_change=restart_once)
    assert states[:2] == ["queued", "queued"]


def test_an_exported_model_is_imported_again(
    service: LiveApplication, api: Client, tmp_path: Path
) -> None:
    model = create_model("shoes")
    file = api.download_model("shoes", tmp_path / "shoes.zip")
    imported = api.import_model(file.read_bytes(), name="boots")
    assert (imported["reference"], imported["sha256"]) == ("boots:1", model.weights["sha256"])
