"""An augmentation job: a larger dataset out of one, every item with its recipe, and its worth."""

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
from core.jobs import LeaseLost
from core.storage import get_storage
from core.tables import Job
from models.augmentation import lift
from models.augmentation.transforms import apply
from models.split import random_split, stratified_split
from tests.conftest import expire_lease
from tests.factories import a_dataset, a_trained_model, forget_models
from tests.uploads import npz, people, png, zip_of
from tests.worker.larger_sets import QUEUES, arrays_of, look, made, post, report_of
from worker.augmentation import job as augmentation
from worker.job_runner import run_next

COUNTS = {"ant": 40, "bee": 40, "cat": 8}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classifiers that hardly learn, to be measured all the same."""
    monkeypatch.setattr("models.metrics.gradient_boosting.TREES", 4)
    monkeypatch.setattr("models.augmentation.classifiers.STEPS", (3, 3))


@pytest.fixture(autouse=True)
def nothing_in_memory() -> Iterator[None]:
    """The memory of models reads from the storage of one test."""
    forget_models()
    yield
    forget_models()


def pictures(counts: dict[str, int] = COUNTS, seed: int = 0) -> dict[str, NDArray[Any]]:
    """(N, 8, 8) noise, with a bright column of its own for each label."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(list(counts), list(counts.values()))
    x = rng.integers(0, 120, (len(labels), 8, 8), np.uint8)
    for i, name in enumerate(counts):
        x[labels == name, :, 2 * i + 1] += 60
    return {"x": x, "y": labels}


def uneven(**more: NDArray[Any]) -> str:
    found = pictures()
    arrays = {"x_train": found["x"], "y_train": found["y"], **more}
    return a_dataset(npz(**arrays), "uneven.npz")


def recipes(client: TestClient, dataset: Any) -> list[dict[str, Any]]:
    answer = client.get(dataset["links"]["provenance"])
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_plan_says_what_each_label_gets_and_starts_nothing(client: TestClient) -> None:
    dataset = uneven()
    plan = post(client, dataset, validate_only=True, holdout_fraction=0.25).json()
    assert [(row["name"], row["real"], row["requested"]) for row in plan["labels"]] == [
        *(("ant", 30, 0), ("bee", 30, 0), ("cat", 6, 24)),
    ]
    assert plan["labels"][2]["transforms"] == plan["synthetic"] == 24
    assert plan["items"] == 90
    assert plan["resolved"]["transforms"][0] == {"name": "rotate", "max_magnitude": 10.0}
    assert client.get("/v1/jobs").json()["data"] == []
    top = {
        "strategy": "fill_to",
        "target": 35,
        "holdout_fraction": 0.25,
        "max_synthetic_share": 0.25,
    }
    plan = post(client, dataset, validate_only=True, **top).json()
    assert sum(row["transforms"] for row in plan["labels"]) == 22  # of 66 real ones, a third
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


def test_a_plan_warns_of_labels_that_too_few_items_are_kept_apart_of(client: TestClient) -> None:
    dataset = uneven()
    plan = post(
        client, dataset, validate_only=True, holdout_fraction=0.25, evaluate_lift=True
    ).json()
    (few,) = plan["warnings"]
    assert few["code"] == "few_holdout_items"
    assert few["message"].startswith("cat has only 2 ")
    plan = post(client, dataset, validate_only=True, holdout_fraction=0.25).json()
    assert plan["warnings"] == []


def test_a_plan_warns_that_there_is_nothing_between_names(client: TestClient) -> None:
    lines = ["colour,shape,kind", *(f"c{i % 5},s{i % 3},{'ab'[i % 4 == 0]}" for i in range(120))]
    sized = [f"{line},{round(i % 50 / 7, 2) if i else 'size'}" for i, line in enumerate(lines)]
    for table, said in ((lines, ["no_numeric_columns"]), (sized, [])):
        content = "\n".join(table).encode()
        dataset = a_dataset(content, "things.csv", target="kind")
        plan = post(client, dataset, validate_only=True).json()
        assert [warning["code"] for warning in plan["warnings"]] == said


def test_what_leaves_nothing_to_make_is_named(client: TestClient) -> None:
    dataset = uneven()
    enough = post(client, dataset, strategy="multiply", target=0.5).json()
    assert enough["code"] == "nothing_to_augment"
    assert "target number of items" in enough["detail"]
    none = post(client, dataset, max_synthetic_share=0).json()
    assert "nothing to generate: synthetic items may be at most 0 of all items." in none["detail"]


def test_an_uneven_set_is_balanced_and_every_item_says_where_it_comes_from(
    client: TestClient,
) -> None:
    found = pictures()
    dataset = uneven()
    job, new = made(client, dataset, holdout_fraction=0.25, name="even", tags={"for": "tests"})
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
    x, labels = arrays_of(client, new["id"])
    told = recipes(client, new)
    assert [item["label"] for item in told] == labels
    codes = np.searchsorted(["ant", "bee", "cat"], found["y"]).astype(np.int32)
    train, apart = stratified_split(codes, 0.25, 3)
    assert {item["provenance"]["real"] for item in told} <= set(train.tolist())
    assert not set(apart.tolist()) & set(train.tolist())
    for place, item in enumerate(told):
        assert item["item"] == place
        real = found["x"][item["provenance"]["real"]]
        if item["source"] == "transforms":
            grain = (3, 2, item["provenance"]["index"])
            real = apply(real, item["provenance"]["transforms"], noise_key=grain)
        assert np.array_equal(x[place], real)
    training = {"kind": "training", "dataset": new["id"], "validate_only": True}
    assert client.post("/v1/jobs", json=training).status_code == 200
    assert client.get(new["links"]["preview"]).headers["content-type"] == "image/png"


def test_the_same_seed_makes_the_same_set_and_another_one_another(client: TestClient) -> None:
    dataset = uneven()
    shas = [
        made(client, dataset, holdout_fraction=0.1, seed=seed)[1]["sha256"] for seed in (3, 3, 4)
    ]
    assert shas[0] == shas[1] != shas[2]


def test_images_without_a_label_are_left_out_and_that_is_said(client: TestClient) -> None:
    files = {f"{i}.png": png(i) for i in range(40)}
    told = [f"{i}.png,{('', 'ant', 'bee', 'bee')[i % 4]}" for i in range(40)]
    files["labels.csv"] = "\n".join(["path,label", *told]).encode()
    dataset = a_dataset(zip_of(files))
    plan = post(client, dataset, holdout_fraction=0.1, validate_only=True).json()
    assert plan["warnings"] == [
        {"code": "unlabeled_items", "message": "10 items without a label are left out."}
    ]
    _, new = made(client, dataset, holdout_fraction=0.1)
    assert {(label["name"], label["count"]) for label in new["labels"]} == {
        ("ant", 18),
        ("bee", 18),
    }


def test_nothing_of_a_test_part_comes_into_the_set(client: TestClient) -> None:
    test = pictures(seed=1)
    dataset = uneven(x_test=test["x"], y_test=test["y"])
    _, new = made(client, dataset)
    assert (new["train_items"], new["test_items"]) == (120, 0)
    x, _ = arrays_of(client, new["id"])
    whole = {image.tobytes() for image in x}
    assert not any(image.tobytes() in whole for image in test["x"])


def test_samples_of_a_model_are_those_that_it_draws_by_seed_and_number(client: TestClient) -> None:
    a_trained_model(client, "pets")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    more = {"strategy": "multiply", "target": 2, "include_real": False, "model": "pets"}
    job, new = made(client, dataset, **more)
    config = client.get("/v1/models/pets").json()["training"]
    codes = np.repeat(np.arange(3, dtype=np.int32), 12)
    train, _ = stratified_split(codes, config["holdout_fraction"], config["seed"])
    have = np.bincount(codes[train])
    told = recipes(client, new)
    counted = Counter((item["label"], item["source"]) for item in told)
    assert counted[("ant", "real")] == 0
    assert counted[("ant", "model")] + counted[("ant", "transforms")] == have[0]
    assert job["model"] == new["derived_from"]["model"]
    assert job["resolved"]["holdout_seed"] == config["seed"]  # not the job's own
    assert {item["provenance"].get("real", train[0]) for item in told} <= set(train.tolist())
    x, _ = arrays_of(client, new["id"])
    drawn = [(item["item"], item) for item in told if item["source"] == "model"][-1]
    recipe = drawn[1]["provenance"]
    asked = {"labels": {drawn[1]["label"]: 1}, "seed": recipe["seed"], "offset": recipe["index"]}
    answer = client.post(f"/v1/models/{recipe['model']}/samples?format=npz", json=asked)
    with np.load(io.BytesIO(answer.content)) as arrays:
        assert np.array_equal(arrays["x"][0], x[drawn[0]])


def test_rows_are_balanced_between_neighbours_and_by_samples(client: TestClient) -> None:
    a_trained_model(client, "people")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    _, new = made(client, dataset, model="people", sources={"model": 1, "transforms": 3})
    counts = {label["name"]: label["count"] for label in new["labels"]}
    assert counts["<=50K"] == counts[">50K"]
    csv = client.get(f"/v1/datasets/{new['id']}/content").content
    table = pa.csv.read_csv(io.BytesIO(csv), convert_options=pa.csv.ConvertOptions())
    real = pa.csv.read_csv(io.BytesIO(people()))
    assert table.column_names == real.column_names
    assert len(set(table["id"].to_pylist())) == len(table)
    told = recipes(client, new)
    config = client.get("/v1/models/people").json()["training"]
    train, _ = random_split(400, config["holdout_fraction"], config["seed"])
    sources = Counter(item["source"] for item in told)
    assert sources["transforms"] == pytest.approx(3 * sources["model"], abs=3)
    for place, item in enumerate(told):
        if "real" in item["provenance"]:
            assert item["provenance"]["real"] in train
        if item["source"] == "real":
            assert table["age"][place] == real["age"][item["provenance"]["real"]]
        if item["source"] == "transforms":
            ends = [real["age"][item["provenance"][end]].as_py() for end in ("real", "neighbor")]
            assert min(ends) <= table["age"][place].as_py() <= max(ends)
            assert table["income"][place].as_py() == ">50K"
    schema = client.get(f"/v1/datasets/{new['id']}/schema").json()
    assert schema == client.get(f"/v1/datasets/{dataset}/schema").json()
    renamed = {"columns": [{"name": "age", "type": "number"}]}
    assert client.put(f"/v1/datasets/{new['id']}/schema", json=renamed).status_code == 200
    assert client.get(f"/v1/datasets/{new['id']}").json()["derived_from"] is not None


def test_what_the_made_rows_are_worth_is_measured_on_rows_that_were_held_out(
    client: TestClient, quick: None
) -> None:
    a_trained_model(client, "people")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    # Half of each source makes a set of both.
    job, _ = made(client, dataset, model="people", evaluate_lift=True)
    report = report_of(client, job)
    found = report["lift"]
    assert found == job["result"]["lift"]
    arms = ("real", "oversampled", "transforms", "model", "combined")
    for arm in arms:
        low, high = found["ci95"][arm]
        assert low <= found[arm] <= high
        assert set(found["per_label"][arm]) == {"<=50K", ">50K"}
    assert len({found["items"][arm] for arm in arms[1:]}) == 1  # sets of one size
    assert found["rounds"] == lift.MAX_ROUNDS
    assert set(found["gain"]) == set(arms[1:])
    assert report["learning_curve"]["trainings"] == 5 * lift.MAX_ROUNDS
    assert len(report["learning_curve"]["points"]) == 5
    assert report["recommendation"]["use"] in (None, *arms[1:])
    assert report["recommendation"] == job["result"]["recommendation"]
    config = client.get("/v1/models/people").json()["training"]
    assert found["holdout_items"] == round(config["holdout_fraction"] * 400)


def test_images_are_measured_with_a_small_classifier_and_no_longer_than_is_allowed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    test = pictures({"ant": 20, "bee": 20, "cat": 20}, seed=1)
    dataset = uneven(x_test=test["x"], y_test=test["y"])
    job, _ = made(client, dataset, evaluate_lift=True)
    report = report_of(client, job)
    assert set(report["lift"]["gain"]) == {"oversampled", "transforms"}
    assert report["lift"]["model"] is None
    assert report["lift"]["holdout_items"] == 60
    with monkeypatch.context() as patch:
        patch.setattr("worker.resource_usage.cpu_seconds", iter(range(0, 10**6, 10)).__next__)
        dear, _ = made(client, dataset, evaluate_lift=True, lift_cpu_seconds=30)
    assert report_of(client, dear)["cpu_s"] < 30 + 5 * 10
    assert dear["result"]["lift"] is None
    assert "done in time: 0," in dear["result"]["recommendation"]["reason"]


def test_where_there_is_time_for_the_lift_alone_it_is_told_without_its_worth(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    a_trained_model(client, "people")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    keep, kept = augmentation.AugmentationJob.save_json, list[str]()

    def count(work: augmentation.AugmentationJob, name: str, value: dict[str, Any]) -> None:
        keep(work, name, value)
        kept.append(name)

    with monkeypatch.context() as patch:
        patch.setattr(augmentation.AugmentationJob, "save_json", count)
        # The time is over after the set and 17 trainings: three rounds of five sets, and two parts.
        patch.setattr("worker.resource_usage.cpu_seconds", lambda: 1e6 if len(kept) >= 18 else 0.0)
        job, _ = made(client, dataset, model="people", evaluate_lift=True)
    report = report_of(client, job)
    assert report["lift"]["rounds"] == lift.MIN_ROUNDS
    assert report["learning_curve"] is None
    assert report["recommendation"] == job["result"]["recommendation"]


def test_another_worker_goes_on_with_what_is_made_and_measured(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    a_trained_model(client, "people")
    dataset = client.get("/v1/datasets").json()["data"][0]["id"]
    whole, first = made(client, dataset, model="people", evaluate_lift=True)
    job_id = post(client, dataset, model="people", evaluate_lift=True).json()["id"]
    keep, kept = augmentation.AugmentationJob.save_json, list[str]()

    def die(work: augmentation.AugmentationJob, name: str, value: dict[str, Any]) -> None:
        keep(work, name, value)
        kept.append(name)
        if len(kept) == 8:  # the set, and seven trainings
            raise LeaseLost(job_id)

    with monkeypatch.context() as patch:
        patch.setattr(augmentation.AugmentationJob, "save_json", die)
        assert run_next(QUEUES)
    with write() as session:
        expire_lease(session, session.get_one(Job, job_id))
    with monkeypatch.context() as patch:
        patch.setattr(augmentation.AugmentationJob, "generate_dataset", None)  # it is there
        assert run_next(QUEUES)
    job = look(client, job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    second = client.get(job["links"]["dataset"]).json()
    assert second["sha256"] == first["sha256"]
    assert job["result"]["lift"] == whole["result"]["lift"]


def test_a_worker_that_has_lost_the_job_adds_no_dataset(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = uneven()
    job_id = post(client, dataset).json()["id"]
    make = augmentation.AugmentationJob.generate_dataset

    def lose(work: augmentation.AugmentationJob, material: Any) -> Any:
        with write() as session:
            expire_lease(session, session.get_one(Job, job_id))
            assert jobs.claim(session, job_id, "another") is not None
        return make(work, material)

    monkeypatch.setattr(augmentation.AugmentationJob, "generate_dataset", lose)
    assert run_next(QUEUES)
    assert look(client, job_id)["state"] == "running"
    assert len(client.get("/v1/datasets").json()["data"]) == 1
    assert client.get(f"/v1/jobs/{job_id}/artifacts").json() == []


def test_files_of_the_set_stay_when_what_a_job_left_behind_is_removed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = uneven()
    job, new = made(client, dataset)
    with read() as session:
        tenant = session.get_one(Job, job["id"]).tenant_id
    stray = get_storage().put(f"t/{tenant}/jobs/{job['id']}/9/x.npy", b"left by a lost claim")
    from core.settings import get_settings

    monkeypatch.setattr(get_settings(), "orphan_retention_seconds", -1.0)
    assert jobs.remove_orphans(get_storage()) == 1
    assert stray.key not in set(get_storage().keys(f"t/{tenant}/jobs/{job['id']}"))
    assert client.get(new["links"]["content"]).status_code == 200
    assert client.delete(new["links"]["self"]).status_code == 204
    left = {key.rsplit("/", 1)[1] for key in get_storage().keys(f"t/{tenant}/jobs/{job['id']}")}
    assert left == {"augmentation.json", "generated.json"}


def test_a_job_is_cancelled_while_it_makes_and_leaves_no_dataset(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = uneven()
    job_id = post(client, dataset).json()["id"]
    go_on = augmentation.AugmentationJob.check_stop

    def ask(work: augmentation.AugmentationJob) -> None:
        if work._lease.step == 0:
            assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelling"
            work._lease.send_heartbeat()
        go_on(work)

    monkeypatch.setattr(augmentation.AugmentationJob, "check_stop", ask)
    assert run_next(QUEUES)
    assert look(client, job_id)["state"] == "cancelled"
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
        ({"strategy": "fill_to", "target": 1}, 409, None),  # nothing to make
        ({"strategy": "fill_to", "target": 10**8}, 422, None),
        ({"evaluate_lift": True}, 409, None),  # nine are kept apart
        ({"model": "nobody"}, 404, None),
        ({"dataset": "ds_nobody"}, 404, None),
        ({"ballance": True}, 422, "/ballance"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(
    client: TestClient, change: dict[str, Any], status: int, pointer: str | None
) -> None:
    dataset = uneven()
    answer = post(client, **{"dataset": dataset, **change})
    assert answer.status_code == status, answer.text
    if pointer is not None:
        faults = [fault["pointer"] for fault in answer.json()["errors"]]
        assert any(found.startswith(pointer) or found.endswith(pointer) for found in faults), faults
    assert client.get("/v1/jobs").json()["data"] == []


def test_a_set_that_is_too_large_to_measure_is_refused_before_it_is_made(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.planning.augmentation.MAX_EVALUATION_BYTES", 100 * 64)
    test = pictures(seed=1)
    dataset = uneven(x_test=test["x"], y_test=test["y"])
    answer = post(client, dataset, evaluate_lift=True)  # 88 real ones, and 32 made twice
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_to_evaluate")
    assert post(client, dataset, validate_only=True).status_code == 200


def test_a_model_of_other_data_is_refused_or_warned_of(client: TestClient) -> None:
    a_trained_model(client, "pets")
    rows = a_dataset(people(40), "people.csv", target="income")
    assert post(client, rows, model="pets").status_code == 409
    wide = np.random.default_rng(0).integers(0, 255, (20, 8, 12), np.uint8)
    images = a_dataset(npz(x=wide, y=np.arange(20) % 2), "wide.npz")
    assert post(client, images, model="pets").json()["code"] == "shape_mismatch"
    found = pictures()
    others = a_dataset(npz(**found), "others.npz")
    plan = post(client, others, model="pets", validate_only=True).json()
    assert [warning["code"] for warning in plan["warnings"]] == [
        *("model_not_evaluated", "dataset_mismatch"),
    ]
    unlabelled = a_dataset(people(40), "people.csv")
    assert post(client, unlabelled).json()["errors"][0]["pointer"] == "/dataset"
