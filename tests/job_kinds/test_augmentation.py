"""Augmentation jobs: the augmented dataset, the provenance of its items, and the measured lift."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from core import jobs
from core.database import read, write
from core.leases import LeaseLost
from core.storage import get_storage
from core.tables import Dataset, Job
from job_kinds.augmentation import run as augmentation
from models.augmentation import lift
from models.augmentation.transforms import apply
from models.split import random_split, stratified_split
from tests.conftest import expire_lease
from tests.factories import clear_model_caches, create_dataset, create_trained_model
from tests.job_kinds.augmentation_runs import (
    QUEUES,
    augment,
    download_arrays,
    get_job,
    get_report,
    post,
)
from tests.uploads import make_npz, make_people_csv, make_png, make_zip
from worker.job_runner import run_next

COUNTS = {"ant": 40, "bee": 40, "cat": 8}


@pytest.fixture
def fast_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the training of the classifiers that measure the lift."""
    monkeypatch.setattr("models.metrics.gradient_boosting.TREES", 4)
    monkeypatch.setattr("models.augmentation.classifiers.STEPS", (3, 3))


@pytest.fixture(autouse=True)
def empty_model_cache() -> Iterator[None]:
    """Empty the model cache, because its models are in the storage of one test."""
    clear_model_caches()
    yield
    clear_model_caches()


def random_arrays(counts: dict[str, int] = COUNTS, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return labels and (N, 8, 8) noise with one bright column for each label."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(list(counts), list(counts.values()))
    x = rng.integers(0, 120, (len(labels), 8, 8), np.uint8)
    for i, name in enumerate(counts):
        x[labels == name, :, 2 * i + 1] += 60
    return {"x": x, "y": labels}


def create_uneven_dataset(**test_arrays: NDArray[Any]) -> str:
    train = random_arrays()
    arrays = {"x_train": train["x"], "y_train": train["y"], **test_arrays}
    return create_dataset(make_npz(**arrays), "uneven.npz")


def get_provenance(client: TestClient, dataset: Any) -> list[dict[str, Any]]:
    answer = client.get(dataset["links"]["provenance"])
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_validate_only_returns_the_plan_for_each_label_and_creates_no_job(
    client: TestClient,
) -> None:
    dataset = create_uneven_dataset()
    plan = post(client, dataset, validate_only=True, holdout_fraction=0.25).json()
    assert [(row["name"], row["real"], row["requested"]) for row in plan["labels"]] == [
        *(("ant", 30, 0), ("bee", 30, 0), ("cat", 6, 24)),
    ]
    assert plan["labels"][2]["transforms"] == plan["synthetic"] == 24
    assert plan["items"] == 90
    assert plan["resolved"]["transforms"][0] == {"name": "rotate", "max_magnitude": 10.0}
    assert client.get("/v1/jobs").json()["data"] == []
    capped = {
        "strategy": "fill_to",
        "target": 35,
        "holdout_fraction": 0.25,
        "max_synthetic_share": 0.25,
    }
    plan = post(client, dataset, validate_only=True, **capped).json()
    assert sum(row["transforms"] for row in plan["labels"]) == 22  # a third of the 66 real items
    assert [row["skipped"] for row in plan["labels"]] == [2, 2, 13]
    assert plan["labels"][2]["skip_reasons"] == [
        {
            "code": "max_synthetic_share",
            "message": "Synthetic items may be at most 0.25 of all items.",
        }
    ]
    assert plan["warnings"][0] == {
        "code": "items_skipped",
        "message": "2 of 5 items of ant are skipped: synthetic items may be at most 0.25 of all "
        "items.",
    }
    more = {"strategy": "multiply", "target": 1.5, "holdout_fraction": 0.25}
    plan = post(client, dataset, validate_only=True, **more).json()
    assert [row["transforms"] for row in plan["labels"]] == [15, 15, 3]


def test_plan_says_which_real_items_are_held_out_and_the_counts_add_up(client: TestClient) -> None:
    dataset = create_uneven_dataset()
    body = {"validate_only": True, "strategy": "balance"}
    plan = post(client, dataset, holdout_fraction=0.25, **body).json()
    (warning,) = [w["message"] for w in plan["warnings"] if w["code"] == "items_held_out"]
    real = client.get(f"/v1/datasets/{dataset}").json()["labels"]
    missing = {
        label["name"]: label["count"] - row["real"]
        for label, row in zip(real, plan["labels"], strict=True)
    }
    total = sum(label["count"] for label in real)
    assert warning.startswith(f"{sum(missing.values())} of {total} real items")
    assert all(f"{name}: {count}" in warning for name, count in missing.items())
    everything = post(client, dataset, holdout_fraction=0, **body).json()
    assert "items_held_out" not in [w["code"] for w in everything["warnings"]]
    assert [row["real"] for row in everything["labels"]] == [label["count"] for label in real]


def test_plan_warns_of_labels_with_few_holdout_items(client: TestClient) -> None:
    dataset = create_uneven_dataset()
    plan = post(
        client, dataset, validate_only=True, holdout_fraction=0.25, evaluate_lift=True
    ).json()
    few, held_out = plan["warnings"]
    assert (few["code"], held_out["code"]) == ("few_holdout_items", "items_held_out")
    assert few["message"].startswith("cat has only 2 ")
    plan = post(client, dataset, validate_only=True, holdout_fraction=0.25).json()
    assert plan["warnings"] == [held_out]


def test_plan_warns_of_tables_without_numeric_columns(client: TestClient) -> None:
    lines = ["colour,shape,kind", *(f"c{i % 5},s{i % 3},{'ab'[i % 4 == 0]}" for i in range(120))]
    sized = [f"{line},{round(i % 50 / 7, 2) if i else 'size'}" for i, line in enumerate(lines)]
    for table, said in ((lines, ["no_numeric_columns"]), (sized, [])):
        content = "\n".join(table).encode()
        dataset = create_dataset(content, "things.csv", target="kind")
        plan = post(client, dataset, validate_only=True, holdout_fraction=0).json()
        assert [warning["code"] for warning in plan["warnings"]] == said


def test_setting_that_leaves_nothing_to_augment_is_named(client: TestClient) -> None:
    dataset = create_uneven_dataset()
    small_target = post(client, dataset, strategy="multiply", target=0.5).json()
    assert small_target["code"] == "nothing_to_augment"
    assert "target number of items" in small_target["detail"]
    none = post(client, dataset, max_synthetic_share=0).json()
    assert "nothing to generate: synthetic items may be at most 0 of all items." in none["detail"]


def test_uneven_dataset_is_balanced_and_every_item_has_its_provenance(
    client: TestClient,
) -> None:
    source = random_arrays()
    dataset = create_uneven_dataset()
    job, new = augment(client, dataset, holdout_fraction=0.25, name="even", tags={"for": "tests"})
    assert (new["name"], new["state"], new["train_items"], new["tags"]) == (
        *("even", "ready", 90, {"for": "tests"}),
    )
    assert [label["count"] for label in new["labels"]] == [30, 30, 30]
    assert new["derived_from"] == {
        "job": job["id"],
        "dataset": dataset,
        "model": None,
        "items": {"real": 66, "transforms": 24, "model": 0},
    }
    x, labels = download_arrays(client, new["id"])
    provenance = get_provenance(client, new)
    assert [item["label"] for item in provenance] == labels
    codes = np.searchsorted(["ant", "bee", "cat"], source["y"]).astype(np.int32)
    train, holdout = stratified_split(codes, 0.25, 3)
    assert {item["provenance"]["real"] for item in provenance} <= set(train.tolist())
    assert not set(holdout.tolist()) & set(train.tolist())
    for position, item in enumerate(provenance):
        assert item["item"] == position
        real = source["x"][item["provenance"]["real"]]
        if item["source"] == "transforms":
            noise_key = (3, 2, item["provenance"]["index"])
            real = apply(real, item["provenance"]["transforms"], noise_key=noise_key)
        assert np.array_equal(x[position], real)
    training = {"kind": "training", "dataset": new["id"], "validate_only": True}
    assert client.post("/v1/jobs", json=training).status_code == 200
    assert client.get(new["links"]["preview"]).headers["content-type"] == "image/png"


def test_augmented_dataset_is_determined_by_the_seed(client: TestClient) -> None:
    dataset = create_uneven_dataset()
    shas = [
        augment(client, dataset, holdout_fraction=0.1, seed=seed)[1]["sha256"] for seed in (3, 3, 4)
    ]
    assert shas[0] == shas[1] != shas[2]


def test_unlabeled_images_are_left_out_with_a_warning(client: TestClient) -> None:
    files = {f"{i}.png": make_png(i) for i in range(40)}
    rows = [f"{i}.png,{('', 'ant', 'bee', 'bee')[i % 4]}" for i in range(40)]
    files["labels.csv"] = "\n".join(["path,label", *rows]).encode()
    dataset = create_dataset(make_zip(files))
    plan = post(client, dataset, holdout_fraction=0, validate_only=True).json()
    assert plan["warnings"] == [
        {"code": "unlabeled_items", "message": "10 items without a label are left out."}
    ]
    _, new = augment(client, dataset, holdout_fraction=0.1)
    assert {(label["name"], label["count"]) for label in new["labels"]} == {
        ("ant", 18),
        ("bee", 18),
    }


def test_augmented_dataset_contains_no_item_of_the_test_split(client: TestClient) -> None:
    test = random_arrays(seed=1)
    dataset = create_uneven_dataset(x_test=test["x"], y_test=test["y"])
    _, new = augment(client, dataset)
    assert (new["train_items"], new["test_items"]) == (120, 0)
    x, _ = download_arrays(client, new["id"])
    augmented = {image.tobytes() for image in x}
    assert not any(image.tobytes() in augmented for image in test["x"])


def test_model_samples_can_be_reproduced_from_seed_and_index(client: TestClient) -> None:
    create_trained_model(client, "pets")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    options = {"strategy": "multiply", "target": 2, "include_real": False, "model": "pets"}
    job, new = augment(client, dataset, **options)
    config = client.get("/v1/models/pets").json()["training"]
    codes = np.repeat(np.arange(3, dtype=np.int32), 12)
    train, _ = stratified_split(codes, config["holdout_fraction"], config["seed"])
    train_counts = np.bincount(codes[train])
    provenance = get_provenance(client, new)
    source_counts = Counter((item["label"], item["source"]) for item in provenance)
    assert source_counts[("ant", "real")] == 0
    assert source_counts[("ant", "model")] + source_counts[("ant", "transforms")] == train_counts[0]
    assert job["model"] == new["derived_from"]["model"]
    assert job["resolved"]["holdout_seed"] == config["seed"]  # not the seed of the augmentation job
    assert {item["provenance"].get("real", train[0]) for item in provenance} <= set(train.tolist())
    x, _ = download_arrays(client, new["id"])
    sampled = [item for item in provenance if item["source"] == "model"][-1]
    origin = sampled["provenance"]
    request = {"labels": {sampled["label"]: 1}, "seed": origin["seed"], "offset": origin["index"]}
    answer = client.post(f"/v1/models/{origin['model']}/samples?format=npz", json=request)
    with np.load(io.BytesIO(answer.content)) as arrays:
        assert np.array_equal(arrays["x"][0], x[sampled["item"]])


def test_new_rows_join_the_texts_of_their_columns(client: TestClient) -> None:
    rng = np.random.default_rng(2)
    rows = [
        f"{first},{last},{first} {last},{year},{year}-{i:04d},{size},{'a' if i % 4 else 'b'}"
        for i, (first, last, year, size) in enumerate(
            zip(
                rng.choice(["Ann", "Bob", "Eva"], 80),
                [f"{start}son" for start in rng.permutation([f"L{n}" for n in range(80)])],
                rng.integers(2020, 2025, 80),
                rng.integers(100, 900, 80),
                strict=True,
            )
        )
    ]
    content = "\n".join(["first,last,name,year,order,size,kind", *rows]).encode()
    dataset = create_dataset(content, "orders.csv", target="kind")
    _, new = augment(client, dataset)
    csv = client.get(f"/v1/datasets/{new['id']}/content").content
    table = pa.csv.read_csv(io.BytesIO(csv)).to_pylist()
    assert len(table) > 90
    assert all(row["name"] == f"{row['first']} {row['last']}" for row in table)
    assert all(row["order"].startswith(f"{row['year']}-") for row in table)
    assert len({row["order"] for row in table}) == len(table)


def test_rows_are_balanced_by_interpolation_and_model_samples(client: TestClient) -> None:
    create_trained_model(client, "people")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    _, new = augment(client, dataset, model="people", sources={"model": 1, "transforms": 3})
    counts = {label["name"]: label["count"] for label in new["labels"]}
    assert counts["<=50K"] == counts[">50K"]
    csv = client.get(f"/v1/datasets/{new['id']}/content").content
    table = pa.csv.read_csv(io.BytesIO(csv), convert_options=pa.csv.ConvertOptions())
    real = pa.csv.read_csv(io.BytesIO(make_people_csv()))
    assert table.column_names == real.column_names
    assert len(set(table["id"].to_pylist())) == len(table)
    provenance = get_provenance(client, new)
    config = client.get("/v1/models/people").json()["training"]
    train, _ = random_split(400, config["holdout_fraction"], config["seed"])
    sources = Counter(item["source"] for item in provenance)
    assert sources["transforms"] == pytest.approx(3 * sources["model"], abs=3)
    for position, item in enumerate(provenance):
        if "real" in item["provenance"]:
            assert item["provenance"]["real"] in train
        if item["source"] == "real":
            assert table["age"][position] == real["age"][item["provenance"]["real"]]
        if item["source"] == "transforms":
            bounds = [
                real["age"][item["provenance"][parent]].as_py() for parent in ("real", "neighbor")
            ]
            assert min(bounds) <= table["age"][position].as_py() <= max(bounds)
            assert table["income"][position].as_py() == ">50K"
    schema = client.get(f"/v1/datasets/{new['id']}/schema").json()
    assert schema == client.get(f"/v1/datasets/{dataset}/schema").json()
    renamed = {"columns": [{"name": "age", "type": "number"}]}
    assert client.put(f"/v1/datasets/{new['id']}/schema", json=renamed).status_code == 200
    assert client.get(f"/v1/datasets/{new['id']}").json()["derived_from"] is not None


def test_lift_of_an_augmented_table_is_measured_on_the_holdout(
    client: TestClient, fast_classifiers: None
) -> None:
    create_trained_model(client, "people")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    # With half of the items from each source, the variant `combined` is measured as well.
    job, _ = augment(client, dataset, model="people", evaluate_lift=True)
    report = get_report(client, job)
    scores = report["lift"]
    assert scores == job["result"]["lift"]
    variants = ("real", "oversampled", "transforms", "model", "combined")
    for variant in variants:
        low, high = scores["ci95"][variant]
        assert low <= scores[variant] <= high
        assert set(scores["per_label"][variant]) == {"<=50K", ">50K"}
    # All augmented variants have the same size.
    assert len({scores["items"][variant] for variant in variants[1:]}) == 1
    assert scores["rounds"] == lift.MAX_ROUNDS
    assert set(scores["gain"]) == set(variants[1:])
    assert report["learning_curve"]["trainings"] == 5 * lift.MAX_ROUNDS
    assert len(report["learning_curve"]["points"]) == 5
    assert report["recommendation"]["use"] in (None, *variants[1:])
    assert report["recommendation"] == job["result"]["recommendation"]
    config = client.get("/v1/models/people").json()["training"]
    assert scores["holdout_items"] == round(config["holdout_fraction"] * 400)


def test_lift_of_images_is_measured_within_its_cpu_limit(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, fast_classifiers: None
) -> None:
    test = random_arrays({"ant": 20, "bee": 20, "cat": 20}, seed=1)
    dataset = create_uneven_dataset(x_test=test["x"], y_test=test["y"])
    job, _ = augment(client, dataset, evaluate_lift=True)
    report = get_report(client, job)
    assert set(report["lift"]["gain"]) == {"oversampled", "transforms"}
    assert report["lift"]["model"] is None
    assert report["lift"]["holdout_items"] == 60
    with monkeypatch.context() as patch:
        patch.setattr("job_kinds.resource_usage.cpu_seconds", iter(range(0, 10**6, 10)).__next__)
        limited, _ = augment(client, dataset, evaluate_lift=True, lift_cpu_seconds=30)
    assert get_report(client, limited)["cpu_s"] < 30 + 5 * 10
    assert limited["result"]["lift"] is None
    assert "Only 0 complete rounds fit" in limited["result"]["recommendation"]["reason"]


def test_lift_is_reported_without_a_learning_curve_when_time_runs_out(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, fast_classifiers: None
) -> None:
    create_trained_model(client, "people")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    save_json, saved_names = augmentation.AugmentationJob.save_json, list[str]()

    def save_and_count(job: augmentation.AugmentationJob, name: str, value: dict[str, Any]) -> None:
        save_json(job, name, value)
        saved_names.append(name)

    with monkeypatch.context() as patch:
        patch.setattr(augmentation.AugmentationJob, "save_json", save_and_count)
        # Time runs out after the dataset and 17 trainings: three rounds of five variants, and two
        # points of the learning curve.
        patch.setattr(
            "job_kinds.resource_usage.cpu_seconds", lambda: 1e6 if len(saved_names) >= 18 else 0.0
        )
        job, _ = augment(client, dataset, model="people", evaluate_lift=True)
    report = get_report(client, job)
    assert report["lift"]["rounds"] == lift.MIN_ROUNDS
    assert report["learning_curve"] is None
    assert report["recommendation"] == job["result"]["recommendation"]


def test_another_worker_resumes_from_the_saved_dataset_and_measurements(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, fast_classifiers: None
) -> None:
    create_trained_model(client, "people")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    uninterrupted, first = augment(client, dataset, model="people", evaluate_lift=True)
    job_id = post(client, dataset, model="people", evaluate_lift=True).json()["id"]
    save_json, saved_names = augmentation.AugmentationJob.save_json, list[str]()

    def save_and_lose_lease(
        job: augmentation.AugmentationJob, name: str, value: dict[str, Any]
    ) -> None:
        save_json(job, name, value)
        saved_names.append(name)
        if len(saved_names) == 8:  # the dataset and seven trainings
            raise LeaseLost(job_id)

    with monkeypatch.context() as patch:
        patch.setattr(augmentation.AugmentationJob, "save_json", save_and_lose_lease)
        assert run_next(QUEUES)
    with write() as session:
        expire_lease(session, session.get_one(Job, job_id))
    with monkeypatch.context() as patch:
        patch.setattr(augmentation.AugmentationJob, "generate_dataset", None)  # not called again
        assert run_next(QUEUES)
    job = get_job(client, job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    second = client.get(job["links"]["dataset"]).json()
    assert second["sha256"] == first["sha256"]
    assert job["result"]["lift"] == uninterrupted["result"]["lift"]


def test_worker_that_lost_its_lease_creates_no_dataset(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = create_uneven_dataset()
    job_id = post(client, dataset).json()["id"]
    generate_dataset = augmentation.AugmentationJob.generate_dataset

    def lose_lease(job: augmentation.AugmentationJob, *inputs: Any) -> Any:
        with write() as session:
            expire_lease(session, session.get_one(Job, job_id))
            assert jobs.claim(session, job_id, "another") is not None
        return generate_dataset(job, *inputs)

    monkeypatch.setattr(augmentation.AugmentationJob, "generate_dataset", lose_lease)
    assert run_next(QUEUES)
    assert get_job(client, job_id)["state"] == "running"
    assert len(client.get("/v1/datasets").json()["data"]) == 1
    assert client.get(f"/v1/jobs/{job_id}/artifacts").json() == []


def test_removing_orphans_keeps_the_files_of_the_augmented_dataset(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = create_uneven_dataset()
    job, new = augment(client, dataset)
    with read() as session:
        tenant = session.get_one(Job, job["id"]).tenant_id
    stray = get_storage().put(f"t/{tenant}/jobs/{job['id']}/9/x.npy", b"orphan of a lost claim")
    from core.settings import get_settings

    monkeypatch.setattr(get_settings(), "orphan_retention_seconds", -1.0)
    assert jobs.remove_orphans(get_storage()) == 1
    assert stray.key not in set(get_storage().keys(f"t/{tenant}/jobs/{job['id']}"))
    assert client.get(new["links"]["content"]).status_code == 200
    assert client.delete(new["links"]["self"]).status_code == 204
    remaining_files = {
        key.rsplit("/", 1)[1] for key in get_storage().keys(f"t/{tenant}/jobs/{job['id']}")
    }
    assert remaining_files == {"augmentation.json", "generated.json"}


def test_deleting_the_job_leaves_replaced_files_to_readers_of_the_dataset(
    client: TestClient,
) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    job, new = augment(client, dataset)
    with read() as session:
        profile = session.get_one(Dataset, new["id"]).objects["profile"]["key"]
    renamed = {"columns": [{"name": "age", "type": "number"}]}
    assert client.put(f"/v1/datasets/{new['id']}/schema", json=renamed).status_code == 200
    assert client.delete(job["links"]["self"]).status_code == 204
    assert profile in set(get_storage().keys(profile.rsplit("/", 1)[0]))


def test_job_cancelled_during_augmentation_leaves_no_dataset(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = create_uneven_dataset()
    job_id = post(client, dataset).json()["id"]
    check_stop = augmentation.AugmentationJob.check_stop

    def cancel_at_step_zero(job: augmentation.AugmentationJob) -> None:
        if job._lease.step == 0:
            assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelling"
            job._lease.send_heartbeat()
        check_stop(job)

    monkeypatch.setattr(augmentation.AugmentationJob, "check_stop", cancel_at_step_zero)
    assert run_next(QUEUES)
    assert get_job(client, job_id)["state"] == "cancelled"
    assert len(client.get("/v1/datasets").json()["data"]) == 1


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"strategy": "fill_to"}, 422, "/target"),
        ({"strategy": "fill_to", "target": 2.5}, 422, "/target"),
        ({"target": 3}, 422, "/target"),
        ({"sources": {"model": 1}}, 422, "/model"),
        ({"sources": {"transforms": 0}}, 422, "/sources"),
        ({"transforms": [{"name": "hue"}]}, 422, "/transforms/0/name"),
        (
            {"transforms": [{"name": "shift", "max_magnitude": 0.8}]},
            422,
            "/transforms/0/max_magnitude",
        ),
        ({"transforms": [{"name": "spin"}]}, 422, "/transforms/0/name"),
        ({"strategy": "fill_to", "target": 1}, 409, None),  # nothing to augment
        ({"strategy": "fill_to", "target": 10**8}, 422, None),
        ({"evaluate_lift": True}, 409, None),  # only nine holdout items
        ({"model": "nobody"}, 404, None),
        ({"dataset": "ds_nobody"}, 404, None),
        ({"ballance": True}, 422, "/ballance"),
    ],
)
def test_invalid_augmentation_request_is_rejected_and_creates_no_job(
    client: TestClient, change: dict[str, Any], status: int, pointer: str | None
) -> None:
    dataset = create_uneven_dataset()
    answer = post(client, **{"dataset": dataset, **change})
    assert answer.status_code == status, answer.text
    if pointer is not None:
        pointers = [error["pointer"] for error in answer.json()["errors"]]
        assert any(p.startswith(pointer) or p.endswith(pointer) for p in pointers), pointers
    assert client.get("/v1/jobs").json()["data"] == []


def test_dataset_too_large_for_the_lift_evaluation_is_rejected_on_creation(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modalities.image.augmentation_rules.MAX_LIFT_BYTES", 100 * 64)
    test = random_arrays(seed=1)
    dataset = create_uneven_dataset(x_test=test["x"], y_test=test["y"])
    answer = post(client, dataset, evaluate_lift=True)  # 88 real items, and 32 synthetic ones twice
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_to_evaluate")
    assert post(client, dataset, validate_only=True).status_code == 200


def test_model_trained_on_other_data_is_rejected_or_warned_about(client: TestClient) -> None:
    create_trained_model(client, "pets")
    rows = create_dataset(make_people_csv(40), "people.csv", target="income")
    assert post(client, rows, model="pets").status_code == 409
    wide = np.random.default_rng(0).integers(0, 255, (20, 8, 12), np.uint8)
    images = create_dataset(make_npz(x=wide, y=np.arange(20) % 2), "wide.npz")
    assert post(client, images, model="pets").json()["code"] == "shape_mismatch"
    others = create_dataset(make_npz(**random_arrays()), "others.npz")
    plan = post(client, others, model="pets", validate_only=True, holdout_fraction=0).json()
    assert [warning["code"] for warning in plan["warnings"]] == [
        *("model_not_evaluated", "dataset_mismatch"),
    ]
    unlabeled = create_dataset(make_people_csv(40), "people.csv")
    assert post(client, unlabeled).json()["errors"][0]["pointer"] == "/dataset"
