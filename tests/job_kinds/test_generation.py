"""Generation jobs: shards with the items of the samples route, each generated exactly once."""

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
from core.jobs import ShardClaim
from core.leases import LeaseLost
from core.settings import Settings, get_settings
from core.storage import Storage, StoredObject
from core.tables import Job, JobState, Shard, ShardState
from job_kinds.generation import run as generation
from tests.conftest import expire_lease, reload
from tests.factories import create_model
from tests.processes import TIMEOUT_S
from worker.job_runner import run_next

QUEUES = ["generation"]
LABEL_COUNTS = {"cat": 3, "ant": 30, "bee": 1}


def post(client: TestClient, **body: Any) -> str:
    answer = client.post("/v1/jobs", json={"kind": "generation", **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def get_job(client: TestClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
    return job


def get_manifest(client: TestClient, job_id: str) -> dict[str, Any]:
    manifest: dict[str, Any] = client.get(f"/v1/jobs/{job_id}/artifacts/manifest.json").json()
    return manifest


def download_shards(client: TestClient, job_id: str) -> list[bytes]:
    """Return the shards in order, after a check of sizes and checksums against the manifest."""
    read = []
    for shard in get_manifest(client, job_id)["shards"]:
        answer = client.get(f"/v1/jobs/{job_id}/artifacts/{shard['name']}")
        assert len(answer.content) == shard["bytes"]
        assert hashlib.sha256(answer.content).hexdigest() == shard["sha256"]
        read.append(answer.content)
    return read


def sample_images(client: TestClient, **body: Any) -> NDArray[np.uint8]:
    """Return images of the samples route."""
    answer = client.post("/v1/models/pets/samples?format=npz", json=body)
    assert answer.status_code == 200, answer.text
    with np.load(io.BytesIO(answer.content)) as arrays:
        return np.asarray(arrays["x"])


def join_npz(parts: list[bytes]) -> NDArray[np.uint8]:
    return np.concatenate([np.load(io.BytesIO(part))["x"] for part in parts])


def test_samples_are_identical_in_one_request_in_pages_and_in_shards_of_two_workers(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sample_images(pets, count=40, seed=7, offset=5)
    pages = [sample_images(pets, count=10, seed=7, offset=offset) for offset in range(5, 45, 10)]
    single = [sample_images(pets, count=1, seed=7, offset=offset) for offset in range(5, 45)]
    assert np.array_equal(np.concatenate(pages), whole)
    assert np.array_equal(np.concatenate(single), whole)
    body = {"model": "pets", "count": 40, "seed": 7, "offset": 5, "format": "npz", "shard_size": 6}
    job_id = post(pets, **body)
    worker_names: list[str] = []
    run_two_workers(monkeypatch, worker_names)
    assert get_job(pets, job_id)["state"] == "succeeded"
    assert np.array_equal(join_npz(download_shards(pets, job_id)), whole)
    assert len(worker_names) == 7  # each shard is generated once
    assert set(worker_names) == {"one", "two"}


def run_two_workers(monkeypatch: pytest.MonkeyPatch, worker_names: list[str]) -> None:
    """Run two threads as workers; each holds a shard before the first one is generated."""
    both_claimed, generate_shard = threading.Barrier(2), generation.ShardGenerator.generate_shard

    def record_worker(generator: generation.ShardGenerator, shard: ShardClaim) -> ShardClaim | None:
        name = threading.current_thread().name
        if name not in worker_names:
            both_claimed.wait(TIMEOUT_S)
        worker_names.append(name)
        return generate_shard(generator, shard)

    monkeypatch.setattr(generation.ShardGenerator, "generate_shard", record_worker)
    # Either may claim the job first, and the other one finds nothing at that moment.
    first, second = (
        threading.Thread(target=run_until_claimed, name=name, daemon=True)
        for name in ("one", "two")
    )
    first.start()
    second.start()
    first.join(2 * TIMEOUT_S)
    second.join(2 * TIMEOUT_S)


def run_until_claimed() -> None:
    while not run_next(QUEUES):
        pass


def test_label_counts_are_exact_in_every_format(pets: TestClient) -> None:
    expected = sample_images(pets, labels=LABEL_COUNTS, seed=3)
    for format, join_parts in (("npz", join_npz), ("zip", join_zips), ("tar", join_tars)):
        body = {
            "model": "pets:1",
            "labels": LABEL_COUNTS,
            "seed": 3,
            "format": format,
            "shard_size": 16,
        }
        job_id = post(pets, **body)
        assert run_next(QUEUES)
        job = get_job(pets, job_id)
        assert job["state"] == "succeeded", job["error"]
        assert job["result"]["labels"] == LABEL_COUNTS
        manifest = get_manifest(pets, job_id)
        assert [(s["start"], s["stop"]) for s in manifest["shards"]] == [
            (0, 16),
            (16, 32),
            (32, 34),
        ]
        assert sum((Counter(s["labels"]) for s in manifest["shards"]), Counter()) == Counter(
            LABEL_COUNTS
        )
        assert manifest["shards"][0]["labels"] == {"cat": 3, "ant": 13}
        assert np.array_equal(join_parts(download_shards(pets, job_id)), expected)


def join_zips(parts: list[bytes]) -> NDArray[np.uint8]:
    """Return the images of all parts in order, after a check that no name occurs twice."""
    images_by_number: dict[int, NDArray[np.uint8]] = {}
    for part in parts:
        with zipfile.ZipFile(io.BytesIO(part)) as archive:
            for name in archive.namelist():
                if name.endswith(".png"):
                    image = np.array(Image.open(archive.open(name)))
                    assert images_by_number.setdefault(int(name[-11:-4]), image) is image
    return np.stack([images_by_number[number] for number in range(len(images_by_number))])


def join_tars(parts: list[bytes]) -> NDArray[np.uint8]:
    images = []
    for part in parts:
        with tarfile.open(fileobj=io.BytesIO(part)) as archive:
            for entry in archive:
                if entry.name.endswith(".png"):
                    member = archive.extractfile(entry)
                    assert member is not None
                    images.append(np.array(Image.open(member)))
    return np.stack(images)


def test_rows_equal_those_of_the_samples_route_also_with_conditions(people: TestClient) -> None:
    for asked in (
        {"labels": {">50K": 30, "<=50K": 5}},
        {"count": 40, "balance_labels": True},
        {"count": 40, "conditions": [{"where": {"age": {"gte": 40}}, "fraction": 0.5}]},
    ):
        url = "/v1/models/people/samples?format=csv"
        whole = people.post(url, json={**asked, "seed": 2}).text
        job_id = post(people, model="people", seed=2, format="csv", shard_size=9, **asked)
        assert run_next(QUEUES)
        assert get_job(people, job_id)["state"] == "succeeded", get_job(people, job_id)["error"]
        parts = [part.decode().split("\n") for part in download_shards(people, job_id)]
        assert [line for part in parts for line in part[1:-1]] == whole.split("\n")[1:-1]
        labels = Counter(line.rsplit(",", 1)[1] for part in parts for line in part[1:-1])
        assert get_job(people, job_id)["result"]["labels"] == dict(labels)


def test_parquet_and_arrow_contain_the_same_table(people: TestClient) -> None:
    tables = {}
    for format, table_of in (
        ("parquet", lambda part: pa.parquet.read_table(io.BytesIO(part))),
        ("arrow", lambda part: pa.ipc.open_stream(part).read_all()),
    ):
        job_id = post(people, model="people", count=20, seed=2, format=format, shard_size=8)
        assert run_next(QUEUES)
        tables[format] = pa.concat_tables(
            [table_of(part) for part in download_shards(people, job_id)]
        )
    assert tables["parquet"].num_rows == 20
    assert tables["parquet"].to_pydict() == tables["arrow"].to_pydict()


class Killed(BaseException):
    """Exception that stands for SIGKILL: no handler catches it, and nothing is written."""


def kill_in_shard(monkeypatch: pytest.MonkeyPatch, number: int, after: int = 1) -> None:
    """Kill the worker in this shard, after it generated a batch."""
    check_stop = generation.ShardGenerator.check_stop

    def die(generator: generation.ShardGenerator) -> None:
        check_stop(generator)
        shard = generator.current_shard.shard
        if shard is not None and shard.number == number:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(generation.ShardGenerator, "check_stop", die)
        with pytest.raises(Killed):
            run_next(QUEUES)


def lose_worker(job_id: str) -> None:
    """Let the leases of a job and its shards expire, and run the sweeper."""
    with write() as session:
        job = session.get_one(Job, job_id)
        expire_lease(session, job)
        for shard in session.query(Shard).filter_by(job_id=job_id, state=ShardState.RUNNING):
            shard.lease_until = shard.step_deadline_at = job.created_at
    with write() as session:
        jobs.sweep(session)
        session.get_one(Job, job_id).available_at = session.get_one(Job, job_id).created_at


def list_shards(job_id: str) -> list[Shard]:
    with read() as session:
        return jobs.shards_of(session, job_id)


def test_killed_worker_loses_and_duplicates_no_shard(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"model": "pets", "count": 20, "seed": 7, "format": "npz", "shard_size": 4}
    job_id = post(pets, **body)
    kill_in_shard(monkeypatch, 2)
    before = {row.name: row.sha256 for row in list_artifacts(job_id)}
    assert list(before) == ["shard-00000.npz", "shard-00001.npz"]
    lose_worker(job_id)
    assert get_job(pets, job_id)["state"] == "queued"
    assert run_next(QUEUES)
    job = get_job(pets, job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert np.array_equal(
        join_npz(download_shards(pets, job_id)), sample_images(pets, count=20, seed=7)
    )
    assert [shard.worker_losses for shard in list_shards(job_id)] == [0, 0, 1, 0, 0]
    after = {row.name: row.sha256 for row in list_artifacts(job_id)}
    assert before.items() <= after.items()
    # No shard was generated twice.
    assert [shard.fencing_token for shard in list_shards(job_id)] == [1, 1, 2, 1, 1]


def list_artifacts(job_id: str) -> list[Any]:
    with read() as session:
        job = session.get_one(Job, job_id)
        return jobs.artifacts_of(session, job.tenant_id, job_id)


def test_helper_with_an_expired_shard_lease_writes_nothing(
    pets: TestClient, configured: Settings
) -> None:
    job_id = post(pets, model="pets", count=8, seed=7, format="npz", shard_size=4)
    with write() as session:
        claimed = jobs.claim(session, job_id, "holder")
        assert claimed is not None
        jobs.create_shards(session, claimed[0], count=8, size=4)
        expired = jobs.claim_shard(session, job_id, "helper")
    assert expired is not None
    with write() as session:
        session.get_one(Shard, expired.shard_id).lease_until = claimed[1].created_at
        current = jobs.claim_shard(session, job_id, "other")
    assert current is not None
    assert (current.number, current.fencing_token) == (expired.number, expired.fencing_token + 1)
    stored = Storage.from_url(configured.storage_url, configured.scratch).put(
        "t/default/x", b"expired"
    )
    artifact = {"name": "x", "stored": stored, "media_type": "x/y", "labels": {}}
    with pytest.raises(LeaseLost), write() as session:
        jobs.complete_shard(session, expired, **artifact, cpu_s=0.0, wall_s=0.0)
    with pytest.raises(LeaseLost), write() as session:
        jobs.renew_shard(session, expired, items_done=1, cpu_s=0.0, wall_s=0.0)
    with pytest.raises(LeaseLost), write() as session:
        jobs.release_shard(session, expired)
    assert list_artifacts(job_id) == []
    assert list_shards(job_id)[0].state is ShardState.RUNNING


def test_job_fails_after_one_shard_lost_three_workers(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = post(pets, model="pets", count=12, seed=7, shard_size=4)
    for _ in range(3):
        kill_in_shard(monkeypatch, 1)
        lose_worker(job_id)
    job = get_job(pets, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "worker_lost")


def stop_in_shard(
    monkeypatch: pytest.MonkeyPatch, pets: TestClient, job_id: str, verb: str
) -> None:
    """Send a stop request during the second shard; a heartbeat delivers it."""
    check_stop = generation.ShardGenerator.check_stop

    def request_stop(generator: generation.ShardGenerator) -> None:
        shard = generator.current_shard.shard
        if shard is not None and shard.number == 1:
            if verb == "drain":
                generator.lease._drain = True
            else:
                assert pets.post(f"/v1/jobs/{job_id}/{verb}").status_code == 200
                generator.lease.send_heartbeat()
        check_stop(generator)

    with monkeypatch.context() as patch:
        patch.setattr(generation.ShardGenerator, "check_stop", request_stop)
        assert run_next(QUEUES)


@pytest.mark.parametrize(
    ("verb", "state"), [("pause", "paused"), ("drain", "queued"), ("cancel", "cancelled")]
)
def test_stopped_job_ends_within_a_batch_and_keeps_its_completed_shards(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch, verb: str, state: str
) -> None:
    job_id = post(pets, model="pets", count=12, seed=7, format="npz", shard_size=4)
    stop_in_shard(monkeypatch, pets, job_id, verb)
    assert get_job(pets, job_id)["state"] == state
    assert [row.name for row in list_artifacts(job_id)] == ["shard-00000.npz"]
    assert not run_next(QUEUES) or verb == "drain"
    if verb == "pause":
        assert pets.post(f"/v1/jobs/{job_id}/resume").status_code == 200
        assert run_next(QUEUES)
    if verb != "cancel":
        assert np.array_equal(
            join_npz(download_shards(pets, job_id)), sample_images(pets, count=12, seed=7)
        )
        assert [shard.worker_losses for shard in list_shards(job_id)] == [0, 0, 0]


def test_full_storage_fails_the_job_which_can_be_retried(
    pets: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_storage_full(*_: object) -> None:
        raise StorageFull("no space in the storage")

    job_id = post(pets, model="pets", count=4, seed=7)
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put_stream", raise_storage_full)
        assert run_next(QUEUES)
    job = get_job(pets, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "disk_full")
    again = pets.post(f"/v1/jobs/{job_id}/retry").json()
    assert run_next(QUEUES)
    assert get_job(pets, again["id"])["state"] == "succeeded"


def test_progress_and_usage_are_summed_over_all_workers(pets: TestClient) -> None:
    job_id = post(pets, model="pets", count=20, seed=7, shard_size=4)
    with write() as session:
        claimed = jobs.claim(session, job_id, "holder")
        assert claimed is not None
        jobs.create_shards(session, claimed[0], count=20, size=4)
        for _ in range(2):
            helper_claim = jobs.claim_shard(session, job_id, "helper")
            assert helper_claim is not None
            jobs.renew_shard(session, helper_claim, items_done=3, cpu_s=1.5, wall_s=2.0)
    with read() as session:
        progress = jobs.shard_progress(session, job_id)
    assert (progress.shards, progress.done, progress.available, progress.items) == (5, 0, 3, 6)
    assert (progress.cpu_s, progress.wall_s) == (3.0, 4.0)
    with write() as session:
        assert jobs.has_idle_shards(session, QUEUES, 0.0)
        session.get_one(Job, job_id).pause_requested = True
    with write() as session:
        assert not jobs.has_idle_shards(session, QUEUES, 0.0)
        assert jobs.claim_any_shard(session, QUEUES, "third") is None
    assert reload(claimed[1]).state is JobState.RUNNING


def test_manifest_describes_the_model_the_request_and_the_label_counts(pets: TestClient) -> None:
    job_id = post(pets, model="pets", count=5, seed=9, balance_labels=True)
    assert run_next(QUEUES)
    model = pets.get("/v1/models/pets").json()
    manifest = get_manifest(pets, job_id)
    assert manifest["model"] == {
        "id": model["id"],
        "reference": "pets:1",
        "sha256": model["sha256"],
    }
    assert (manifest["seed"], manifest["count"], manifest["format"]) == (9, 5, "tar")
    assert manifest["labels"] == {"ant": 2, "bee": 2, "cat": 1}
    job = get_job(pets, job_id)
    assert json.dumps(job["result"]["labels"]) == json.dumps(manifest["labels"])
    assert job["usage"]["wall_s"] >= 0
    assert job["progress"]["percent"] == 100.0
    assert job["links"]["artifacts"] == f"/v1/jobs/{job_id}/artifacts"


@pytest.fixture
def output_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Allow a folder as output location of jobs."""
    folder = tmp_path / "outside"
    allowed = json.dumps([folder.as_uri()])
    monkeypatch.setenv("SEMBLANCE_ALLOWED_OUTPUT_URIS", allowed)
    get_settings.cache_clear()
    return folder


def test_manifest_is_delivered_after_all_shards(
    pets: TestClient, output_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_uri = f"{output_root.as_uri()}/for/partner"
    job_id = post(pets, model="pets", count=20, format="npz", shard_size=8, output_uri=output_uri)
    written: list[str] = []
    put_file = Storage.put_file

    def put(storage: Storage, key: str, path: Path) -> StoredObject:
        written.append(key)
        if written[-1].endswith("00001.npz") and len(written) == 2:
            raise Unavailable("the object store does not answer")
        return put_file(storage, key, path)

    monkeypatch.setattr(Storage, "put_file", put)
    run_next(QUEUES)
    assert get_job(pets, job_id)["state"] == "queued"  # resumed when the storage is available again
    with write() as session:
        session.execute(update(Job).values(available_at=Job.created_at))
    run_next(QUEUES)
    job = get_job(pets, job_id)
    assert (job["state"], job["result"]["output_uri"]) == ("succeeded", f"{output_uri}/{job_id}")
    folder = output_root / "for" / "partner" / job_id
    shards = json.loads((folder / "manifest.json").read_text())["shards"]
    assert [hashlib.sha256((folder / s["name"]).read_bytes()).hexdigest() for s in shards] == [
        s["sha256"] for s in shards
    ]
    assert written[-1].endswith("manifest.json")


@pytest.mark.parametrize(
    "output_uri", ["{}side", "{}/../data", "{}/%2e%2e/data", "s3://bucket/for", "file:///", "for"]
)
def test_output_uri_outside_the_allowed_locations_is_rejected(
    pets: TestClient, output_root: Path, output_uri: str
) -> None:
    body = {"kind": "generation", "model": "pets", "count": 3}
    answer = pets.post(
        "/v1/jobs", json=body | {"output_uri": output_uri.format(output_root.as_uri())}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "output_uri_not_allowed")
    assert str(output_root) not in answer.text


def test_min_label_confidence_applies_to_generation_jobs(client: TestClient) -> None:
    create_model("pets", scoring=True)
    request = {"labels": {"Größe": 30}, "seed": 3, "min_label_confidence": 0.7}
    job_id = post(client, model="pets", format="npz", shard_size=8, **request)
    run_next(QUEUES)
    assert get_job(client, job_id)["result"]["labels"] == {"Größe": 30}
    assert np.array_equal(
        join_npz(download_shards(client, job_id)), sample_images(client, **request)
    )
    assert not np.array_equal(
        sample_images(client, labels={"Größe": 30}, seed=3), sample_images(client, **request)
    )
