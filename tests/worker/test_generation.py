"""A generation job: the items of the samples route in files, each made once, whoever makes them."""

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import update
from starlette.testclient import TestClient

from core import jobs
from core.database import read, write
from core.errors import StorageFull, Unavailable
from core.jobs import LeaseLost, ShardClaim
from core.settings import Settings, get_settings
from core.storage import Storage, StoredObject
from core.tables import Job, JobState, Shard, ShardState
from tests.conftest import expire_lease, reload
from tests.factories import create_model, create_trained_model
from worker import generation
from worker.job_runner import run_next

QUEUES = ["generation"]
ASKED = {"cat": 3, "ant": 30, "bee": 1}


@pytest.fixture
def pets(client: TestClient) -> TestClient:
    create_trained_model(client, "pets")
    return client


@pytest.fixture
def people(client: TestClient) -> TestClient:
    create_trained_model(client, "people")
    return client


def post(client: TestClient, **body: Any) -> str:
    answer = client.post("/v1/jobs", json={"kind": "generation", **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def look(client: TestClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
    return job


def manifest_of(client: TestClient, job_id: str) -> dict[str, Any]:
    made: dict[str, Any] = client.get(f"/v1/jobs/{job_id}/artifacts/manifest.json").json()
    return made


def files(client: TestClient, job_id: str) -> list[bytes]:
    """In order, each with the bytes that the manifest says."""
    read = []
    for shard in manifest_of(client, job_id)["shards"]:
        answer = client.get(f"/v1/jobs/{job_id}/artifacts/{shard['name']}")
        assert len(answer.content) == shard["bytes"]
        assert hashlib.sha256(answer.content).hexdigest() == shard["sha256"]
        read.append(answer.content)
    return read


def images(client: TestClient, **body: Any) -> NDArray[np.uint8]:
    """Of the samples route."""
    answer = client.post("/v1/models/pets/samples?format=npz", json=body)
    assert answer.status_code == 200, answer.text
    with np.load(io.BytesIO(answer.content)) as made:
        return np.asarray(made["x"])


def arrays(parts: list[bytes]) -> NDArray[np.uint8]:
    return np.concatenate([np.load(io.BytesIO(part))["x"] for part in parts])


def test_one_request_pages_single_requests_and_shards_of_two_workers_give_the_same_images(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = images(pets, count=40, seed=7, offset=5)
    pages = [images(pets, count=10, seed=7, offset=offset) for offset in range(5, 45, 10)]
    single = [images(pets, count=1, seed=7, offset=offset) for offset in range(5, 45)]
    assert np.array_equal(np.concatenate(pages), whole)
    assert np.array_equal(np.concatenate(single), whole)
    body = {"model": "pets", "count": 40, "seed": 7, "offset": 5, "format": "npz", "shard_size": 6}
    job_id = post(pets, **body)
    makers: list[str] = []
    two_workers(monkeypatch, makers)
    assert look(pets, job_id)["state"] == "succeeded"
    assert np.array_equal(arrays(files(pets, job_id)), whole)
    assert len(makers) == 7  # each shard once
    assert set(makers) == {"one", "two"}


def two_workers(monkeypatch: pytest.MonkeyPatch, makers: list[str]) -> None:
    """Two threads stand for two workers; each has a shard in hand before the first is made."""
    both, made = threading.Barrier(2), generation.ShardGenerator.generate_shard

    def make(maker: generation.ShardGenerator, shard: ShardClaim) -> ShardClaim | None:
        name = threading.current_thread().name
        if name not in makers:
            both.wait(20)
        makers.append(name)
        return made(maker, shard)

    monkeypatch.setattr(generation.ShardGenerator, "generate_shard", make)
    first = threading.Thread(target=run_next, args=[QUEUES], name="one")
    second = threading.Thread(target=help_soon, name="two")
    first.start()
    second.start()
    first.join(60)
    second.join(60)


def help_soon() -> None:
    while not run_next(QUEUES):
        pass


def test_counts_by_label_are_exact_in_every_format(pets: TestClient) -> None:
    expected = images(pets, labels=ASKED, seed=3)
    for format, arrays_of in (("npz", arrays), ("zip", of_zips), ("tar", of_tars)):
        body = {"model": "pets:1", "labels": ASKED, "seed": 3, "format": format, "shard_size": 16}
        job_id = post(pets, **body)
        assert run_next(QUEUES)
        job = look(pets, job_id)
        assert job["state"] == "succeeded", job["error"]
        assert job["result"]["labels"] == ASKED
        manifest = manifest_of(pets, job_id)
        assert [(s["start"], s["stop"]) for s in manifest["shards"]] == [
            (0, 16),
            (16, 32),
            (32, 34),
        ]
        assert sum((Counter(s["labels"]) for s in manifest["shards"]), Counter()) == Counter(ASKED)
        assert manifest["shards"][0]["labels"] == {"cat": 3, "ant": 13}
        assert np.array_equal(arrays_of(files(pets, job_id)), expected)


def of_zips(parts: list[bytes]) -> NDArray[np.uint8]:
    """The parts unpack side by side: no name comes twice."""
    named: dict[int, NDArray[np.uint8]] = {}
    for part in parts:
        with zipfile.ZipFile(io.BytesIO(part)) as archive:
            for name in archive.namelist():
                if name.endswith(".png"):
                    picture = np.array(Image.open(archive.open(name)))
                    assert named.setdefault(int(name[-11:-4]), picture) is picture
    return np.stack([named[number] for number in range(len(named))])


def of_tars(parts: list[bytes]) -> NDArray[np.uint8]:
    found = []
    for part in parts:
        with tarfile.open(fileobj=io.BytesIO(part)) as archive:
            for entry in archive:
                if entry.name.endswith(".png"):
                    opened = archive.extractfile(entry)
                    assert opened is not None
                    found.append(np.array(Image.open(opened)))
    return np.stack(found)


def test_rows_are_those_of_the_samples_route_also_under_conditions(people: TestClient) -> None:
    for asked in (
        {"labels": {">50K": 30, "<=50K": 5}},
        {"count": 40, "balance_labels": True},
        {"count": 40, "conditions": [{"where": {"age": {"gte": 40}}, "fraction": 0.5}]},
    ):
        url = "/v1/models/people/samples?format=csv"
        whole = people.post(url, json={**asked, "seed": 2}).text
        job_id = post(people, model="people", seed=2, format="csv", shard_size=9, **asked)
        assert run_next(QUEUES)
        assert look(people, job_id)["state"] == "succeeded", look(people, job_id)["error"]
        parts = [part.decode().split("\n") for part in files(people, job_id)]
        assert [line for part in parts for line in part[1:-1]] == whole.split("\n")[1:-1]
        labels = Counter(line.rsplit(",", 1)[1] for part in parts for line in part[1:-1])
        assert look(people, job_id)["result"]["labels"] == dict(labels)


def test_every_format_of_rows_holds_the_same_table(people: TestClient) -> None:
    tables = {}
    for format, table_of in (
        ("parquet", lambda part: pa.parquet.read_table(io.BytesIO(part))),
        ("arrow", lambda part: pa.ipc.open_stream(part).read_all()),
    ):
        job_id = post(people, model="people", count=20, seed=2, format=format, shard_size=8)
        assert run_next(QUEUES)
        tables[format] = pa.concat_tables([table_of(part) for part in files(people, job_id)])
    assert tables["parquet"].num_rows == 20
    assert tables["parquet"].to_pydict() == tables["arrow"].to_pydict()


class Killed(BaseException):
    """As good as SIGKILL: no handler of ours sees it, and nothing is written."""


def kill_in_shard(monkeypatch: pytest.MonkeyPatch, number: int, after: int = 1) -> None:
    """The worker dies in this shard, with a batch of it drawn."""
    go_on = generation.ShardGenerator.check_stop

    def die(maker: generation.ShardGenerator) -> None:
        go_on(maker)
        shard = maker.current_shard.shard
        if shard is not None and shard.number == number:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(generation.ShardGenerator, "check_stop", die)
        with pytest.raises(Killed):
            run_next(QUEUES)


def lose(job_id: str) -> None:
    """Its worker is found to be gone."""
    with write() as session:
        job = session.get_one(Job, job_id)
        expire_lease(session, job)
        for shard in session.query(Shard).filter_by(job_id=job_id, state=ShardState.RUNNING):
            shard.lease_until = shard.step_deadline_at = job.created_at
    with write() as session:
        jobs.sweep(session)
        session.get_one(Job, job_id).available_at = session.get_one(Job, job_id).created_at


def shards(job_id: str) -> list[Shard]:
    with read() as session:
        return jobs.shards_of(session, job_id)


def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"model": "pets", "count": 20, "seed": 7, "format": "npz", "shard_size": 4}
    job_id = post(pets, **body)
    kill_in_shard(monkeypatch, 2)
    before = {row.name: row.sha256 for row in artifacts(job_id)}
    assert list(before) == ["shard-00000.npz", "shard-00001.npz"]
    lose(job_id)
    assert look(pets, job_id)["state"] == "queued"
    assert run_next(QUEUES)
    job = look(pets, job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert np.array_equal(arrays(files(pets, job_id)), images(pets, count=20, seed=7))
    assert [shard.worker_losses for shard in shards(job_id)] == [0, 0, 1, 0, 0]
    after = {row.name: row.sha256 for row in artifacts(job_id)}
    assert before.items() <= after.items()
    assert [shard.fencing_token for shard in shards(job_id)] == [1, 1, 2, 1, 1]  # none made again


def artifacts(job_id: str) -> list[Any]:
    with read() as session:
        job = session.get_one(Job, job_id)
        return jobs.artifacts_of(session, job.tenant_id, job_id)


def test_a_helper_that_was_given_up_writes_nothing(pets: TestClient, configured: Settings) -> None:
    job_id = post(pets, model="pets", count=8, seed=7, format="npz", shard_size=4)
    with write() as session:
        taken = jobs.claim(session, job_id, "holder")
        assert taken is not None
        jobs.create_shards(session, taken[0], count=8, size=4)
        late = jobs.claim_shard(session, job_id, "helper")
    assert late is not None
    with write() as session:
        session.get_one(Shard, late.shard_id).lease_until = taken[1].created_at
        again = jobs.claim_shard(session, job_id, "other")
    assert again is not None
    assert (again.number, again.fencing_token) == (late.number, late.fencing_token + 1)
    stored = Storage.from_url(configured.storage_url, configured.scratch).put(
        "t/default/x", b"late"
    )
    about = {"name": "x", "stored": stored, "media_type": "x/y", "labels": {}}
    with pytest.raises(LeaseLost), write() as session:
        jobs.complete_shard(session, late, **about, cpu_s=0.0, wall_s=0.0)
    with write() as session:
        assert jobs.renew_shard(session, late, items_done=1, cpu_s=0.0, wall_s=0.0) is None
        jobs.release_shard(session, late)
    assert artifacts(job_id) == []
    assert shards(job_id)[0].state is ShardState.RUNNING


def test_a_shard_that_costs_every_worker_ends_its_job(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = post(pets, model="pets", count=12, seed=7, shard_size=4)
    for _ in range(3):
        kill_in_shard(monkeypatch, 1)
        lose(job_id)
    job = look(pets, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "worker_lost")


def stop_in_shard(
    monkeypatch: pytest.MonkeyPatch, pets: TestClient, job_id: str, verb: str
) -> None:
    """Asked while the second shard is made; the order comes with a heartbeat."""
    go_on = generation.ShardGenerator.check_stop

    def ask(maker: generation.ShardGenerator) -> None:
        shard = maker.current_shard.shard
        if shard is not None and shard.number == 1:
            if verb == "drain":
                maker.lease._drain = True
            else:
                assert pets.post(f"/v1/jobs/{job_id}/{verb}").status_code == 200
                maker.lease.send_heartbeat()
        go_on(maker)

    with monkeypatch.context() as patch:
        patch.setattr(generation.ShardGenerator, "check_stop", ask)
        assert run_next(QUEUES)


@pytest.mark.parametrize(
    ("verb", "state"), [("pause", "paused"), ("drain", "queued"), ("cancel", "cancelled")]
)
def test_a_job_stops_within_a_batch_and_keeps_the_shards_that_are_done(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch, verb: str, state: str
) -> None:
    job_id = post(pets, model="pets", count=12, seed=7, format="npz", shard_size=4)
    stop_in_shard(monkeypatch, pets, job_id, verb)
    assert look(pets, job_id)["state"] == state
    assert [row.name for row in artifacts(job_id)] == ["shard-00000.npz"]
    assert not run_next(QUEUES) or verb == "drain"
    if verb == "pause":
        assert pets.post(f"/v1/jobs/{job_id}/resume").status_code == 200
        assert run_next(QUEUES)
    if verb != "cancel":
        assert np.array_equal(arrays(files(pets, job_id)), images(pets, count=12, seed=7))
        assert [shard.worker_losses for shard in shards(job_id)] == [0, 0, 0]


def test_what_cannot_be_made_fails_with_a_reason(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageFull("the store has no room left")

    job_id = post(pets, model="pets", count=4, seed=7)
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put_stream", full)
        assert run_next(QUEUES)
    job = look(pets, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "disk_full")
    again = pets.post(f"/v1/jobs/{job_id}/retry").json()
    assert run_next(QUEUES)
    assert look(pets, again["id"])["state"] == "succeeded"


def test_progress_and_usage_count_what_all_makers_do(pets: TestClient) -> None:
    job_id = post(pets, model="pets", count=20, seed=7, shard_size=4)
    with write() as session:
        taken = jobs.claim(session, job_id, "holder")
        assert taken is not None
        jobs.create_shards(session, taken[0], count=20, size=4)
        for _ in range(2):
            helped = jobs.claim_shard(session, job_id, "helper")
            assert helped is not None
            jobs.renew_shard(session, helped, items_done=3, cpu_s=1.5, wall_s=2.0)
    with read() as session:
        made = jobs.shard_progress(session, job_id)
    assert (made.shards, made.done, made.available, made.items) == (5, 0, 3, 6)
    assert (made.cpu_s, made.wall_s) == (3.0, 4.0)
    with write() as session:
        assert jobs.has_idle_shards(session, QUEUES, 0.0)
        session.get_one(Job, job_id).pause_requested = True
    with write() as session:
        assert not jobs.has_idle_shards(session, QUEUES, 0.0)
        assert jobs.claim_any_shard(session, QUEUES, "third", job_id) is None
    assert reload(taken[1]).state is JobState.RUNNING


def test_the_manifest_says_what_was_made_of_what(pets: TestClient) -> None:
    job_id = post(pets, model="pets", count=5, seed=9, balance_labels=True)
    assert run_next(QUEUES)
    model = pets.get("/v1/models/pets").json()
    made = manifest_of(pets, job_id)
    assert made["model"] == {
        "id": model["id"],
        "reference": "pets:1",
        "sha256": model["sha256"],
    }
    assert (made["seed"], made["count"], made["format"]) == (9, 5, "tar")
    assert made["labels"] == {"ant": 2, "bee": 2, "cat": 1}
    job = look(pets, job_id)
    assert json.dumps(job["result"]["labels"]) == json.dumps(made["labels"])
    assert job["usage"]["wall_s"] >= 0
    assert job["progress"]["percent"] == 100.0
    assert job["links"]["artifacts"] == f"/v1/jobs/{job_id}/artifacts"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to which jobs may be delivered."""
    place = tmp_path / "outside"
    places = json.dumps([place.as_uri()])
    monkeypatch.setenv("SEMBLANCE_ALLOWED_OUTPUT_URIS", places)
    get_settings.cache_clear()
    return place


def test_a_job_is_delivered_with_its_manifest_last(
    pets: TestClient, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{outside.as_uri()}/for/partner"
    job_id = post(pets, model="pets", count=20, format="npz", shard_size=8, output_uri=place)
    written: list[str] = []
    put_file = Storage.put_file

    def put(storage: Storage, key: str, path: Path) -> StoredObject:
        written.append(key)
        if written[-1].endswith("00001.npz") and len(written) == 2:
            raise Unavailable("the object store does not answer")
        return put_file(storage, key, path)

    monkeypatch.setattr(Storage, "put_file", put)
    run_next(QUEUES)
    assert look(pets, job_id)["state"] == "queued"  # it goes on when the place answers again
    with write() as session:
        session.execute(update(Job).values(available_at=Job.created_at))
    run_next(QUEUES)
    job = look(pets, job_id)
    assert (job["state"], job["result"]["output_uri"]) == ("succeeded", f"{place}/{job_id}")
    folder = outside / "for" / "partner" / job_id
    listed = json.loads((folder / "manifest.json").read_text())["shards"]
    assert [hashlib.sha256((folder / s["name"]).read_bytes()).hexdigest() for s in listed] == [
        s["sha256"] for s in listed
    ]
    assert written[-1].endswith("manifest.json")


@pytest.mark.parametrize(
    "place", ["{}side", "{}/../data", "{}/%2e%2e/data", "s3://bucket/for", "file:///", "for"]
)
def test_a_job_is_delivered_nowhere_but_where_the_operator_allows(
    pets: TestClient, outside: Path, place: str
) -> None:
    body = {"kind": "generation", "model": "pets", "count": 3}
    answer = pets.post("/v1/jobs", json=body | {"output_uri": place.format(outside.as_uri())})
    assert (answer.status_code, answer.json()["code"]) == (422, "output_uri_not_allowed")
    assert str(outside) not in answer.text


def test_images_of_a_job_meet_the_label_score_that_is_asked_for(client: TestClient) -> None:
    create_model("pets", scoring=True)
    asked = {"labels": {"Größe": 30}, "seed": 3, "min_label_confidence": 0.7}
    job_id = post(client, model="pets", format="npz", shard_size=8, **asked)
    run_next(QUEUES)
    assert look(client, job_id)["result"]["labels"] == {"Größe": 30}
    assert np.array_equal(arrays(files(client, job_id)), images(client, **asked))
    assert not np.array_equal(images(client, labels={"Größe": 30}, seed=3), images(client, **asked))
