"""HTTP client with one method for each operation of the service."""

import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from semblance.errors import APIError, ChecksumError, JobFailedError
from semblance.files import uploadable

Json = dict[str, Any]
MULTIPART_BYTES = 64 * 1024 * 1024  # larger files are uploaded in parts, with retries
PART_BYTES = 32 * 1024 * 1024


class Client:
    """A client of one service.

    Use it as a context manager, or call `close` at the end.
    """

    def __init__(self, url: str, key: str, *, timeout: float = 300.0) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(timeout, connect=5.0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and return the response.

        Raises:
            APIError: The status is 400 or above.
        """
        response = self._http.request(method, path, **options)
        if response.is_error:
            raise _api_error(response)
        return response

    def upload(self, *paths: str | Path, **meta: Any) -> Json:
        """Create a dataset and return it once it is `ready`.

        `paths` is an archive, a folder, idx files, an npz file or a table. `meta` takes `name` and
        `tags`; for images `class_names`, `resize` and `size`; for tables `target`,
        `exclude_columns` and `schema`.

        Raises:
            APIError: The upload was rejected, or the dataset is not readable.
            FileNotFoundError: A path does not exist.
        """
        with uploadable([Path(path) for path in paths]) as files:
            if sum(file.stat().st_size for file in files) > MULTIPART_BYTES:
                uploads = [self._upload_in_parts(file) for file in files]
                dataset = self.request("POST", "/v1/datasets", json={"uploads": uploads, **meta})
            else:
                dataset = self._upload_at_once(files, meta)
        return self.wait_for_dataset(dataset.json()["id"])

    def create_builtin_dataset(self, name: str, **meta: Any) -> Json:
        """Create a dataset from one that ships with the service, such as `digits`."""
        created: Json = self.request("POST", "/v1/datasets", json={"builtin": name, **meta}).json()
        return created

    def wait_for_dataset(self, dataset_id: str) -> Json:
        """Poll the dataset until it is `ready`.

        Raises:
            APIError: The dataset has failed.
        """
        while True:
            dataset: Json = self.request("GET", f"/v1/datasets/{dataset_id}").json()
            if dataset["state"] == "ready":
                return dataset
            if dataset["state"] == "failed":
                raise APIError(422, dataset["error"])
            time.sleep(0.5)

    def train(self, dataset_id: str, **spec: Any) -> Json:
        """Create a training job.

        `spec` takes the fields of `POST /v1/jobs`: preset, budget, hyperparameters, name, seed, …
        """
        body = {"kind": "training", "dataset": dataset_id, **spec}
        job: Json = self.request("POST", "/v1/jobs", json=body).json()
        return job

    def augment(self, dataset_id: str, **spec: Any) -> Json:
        """Create an augmentation job, which creates a larger dataset.

        `spec` takes the fields of `POST /v1/jobs`: model, strategy, target, sources, transforms,
        evaluate_lift, … With `validate_only=True`, return the plan and create no job.
        """
        body = {"kind": "augmentation", "dataset": dataset_id, **spec}
        job_or_plan: Json = self.request("POST", "/v1/jobs", json=body).json()
        return job_or_plan

    def provenance(self, dataset_id: str) -> list[Json]:
        """Return the provenance of each item of an augmented dataset, in the order of the items."""
        lines = self.request("GET", f"/v1/datasets/{dataset_id}/provenance").text.splitlines()
        return [json.loads(line) for line in lines]

    def artifact(self, job_id: str, name: str) -> bytes:
        """Return one file that a job wrote, such as `augmentation.json`."""
        return self.request("GET", f"/v1/jobs/{job_id}/artifacts/{name}").content

    def job(self, job_id: str) -> Json:
        job: Json = self.request("GET", f"/v1/jobs/{job_id}").json()
        return job

    def wait(self, job_id: str, *, on_change: Callable[[Json], None] = lambda _job: None) -> Json:
        """Poll the job until it has ended, and return it.

        `on_change` is called with the job after each poll.

        Raises:
            JobFailedError: The job failed or was cancelled.
        """
        while True:
            job = self.job(job_id)
            on_change(job)
            if job["terminal"]:
                if job["state"] != "succeeded":
                    raise JobFailedError(job)
                return job
            time.sleep(0.5)

    def cancel(self, job_id: str) -> Json:
        job: Json = self.request("POST", f"/v1/jobs/{job_id}/cancel").json()
        return job

    def evaluate(self, model: str, **spec: Any) -> Json:
        """Create an evaluation job; `spec` takes fields such as `samples` and `seed`."""
        body = {"kind": "evaluation", "model": model, **spec}
        job: Json = self.request("POST", "/v1/jobs", json=body).json()
        return job

    def report(self, model: str, *, wait: bool = False) -> Json:
        """Return the model's evaluation report: verdict and scores.

        With `wait`, poll until a running evaluation has ended, such as the one after training.
        """
        while True:
            report: Json = self.request("GET", f"/v1/models/{model}/report").json()
            if not wait or report["state"] != "evaluating":
                return report
            time.sleep(0.5)

    def samples(
        self,
        model: str,
        *,
        labels: Mapping[str, int] | None = None,
        count: int | None = None,
        format: str = "zip",
        **options: Any,
    ) -> bytes:
        """Return samples in memory; `download_samples` writes them to a file.

        `options` takes `seed`, `offset` and `balance_labels`; for tables also `conditions`, such as
        `[{"where": {"age": {"gte": 65}}, "count": 100}]`.
        """
        body = _samples_body(labels, count, options)
        path = f"/v1/models/{model}/samples"
        return self.request("POST", path, json=body, params={"format": format}).content

    def download_samples(
        self,
        model: str,
        file: str | Path,
        *,
        labels: Mapping[str, int] | None = None,
        count: int | None = None,
        format: str | None = None,
        **options: Any,
    ) -> Path:
        """Stream samples to a file; `format` defaults to its extension."""
        path = Path(file)
        self._save(
            path,
            "POST",
            f"/v1/models/{model}/samples",
            json=_samples_body(labels, count, options),
            params={"format": format or path.suffix.removeprefix(".")},
        )
        return path

    def generate(
        self,
        model: str,
        *,
        labels: Mapping[str, int] | None = None,
        count: int | None = None,
        **options: Any,
    ) -> Json:
        """Create a generation job for any number of samples.

        Call `wait` with its id, then `download_artifacts`. `options` takes the options of `samples`
        and the fields of `POST /v1/jobs`: format, shard_size, output_uri, …
        """
        body = {"kind": "generation", "model": model, **_samples_body(labels, count, options)}
        job: Json = self.request("POST", "/v1/jobs", json=body).json()
        return job

    def download_artifacts(self, job_id: str, folder: str | Path) -> list[Path]:
        """Download the files of a generation job and verify their checksums.

        Files that are already complete are not downloaded again, so a second call resumes an
        interrupted download.

        Raises:
            ChecksumError: A downloaded file differs from the manifest.
        """
        artifacts = f"/v1/jobs/{job_id}/artifacts"
        manifest = self.request("GET", f"{artifacts}/manifest.json").json()
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        paths = []
        for shard in manifest["shards"]:
            path = out / Path(shard["name"]).name
            if not (path.exists() and _sha256(path) == shard["sha256"]):
                self._save(path, "GET", f"{artifacts}/{shard['name']}", sha256=shard["sha256"])
            paths.append(path)
        return paths

    def download_dataset(
        self,
        dataset_id: str,
        file: str | Path,
        *,
        split: str = "train",
        format: str | None = None,
    ) -> Path:
        """Stream a dataset to a file; `format` defaults to its extension.

        Images: .zip, .npz, .tar. Tables: .csv, .ndjson, .parquet, .arrow. `split` is `train`, or
        `test` for the test split that the dataset was published with.
        """
        path = Path(file)
        params = {"format": format or path.suffix.removeprefix("."), "split": split}
        self._save(path, "GET", f"/v1/datasets/{dataset_id}/content", params=params)
        return path

    def _save(
        self, path: Path, method: str, url: str, *, sha256: str | None = None, **options: Any
    ) -> None:
        # The file gets its name only once it is complete and verified.
        part = path.with_name(path.name + ".part")
        with self._http.stream(method, url, **options) as response:
            if response.is_error:
                response.read()
                raise _api_error(response)
            with part.open("wb") as out:
                for chunk in response.iter_bytes():
                    out.write(chunk)
        if sha256 is not None and _sha256(part) != sha256:
            part.unlink()
            raise ChecksumError(
                f"The checksum of {path.name} does not match the manifest. Download it again."
            )
        part.replace(path)

    def _upload_at_once(self, files: list[Path], meta: Json) -> httpx.Response:
        with contextlib.ExitStack() as stack:
            parts = [("file", (path.name, stack.enter_context(path.open("rb")))) for path in files]
            data = {"meta": json.dumps(meta)}
            return self.request("POST", "/v1/datasets", files=parts, data=data)

    def _upload_in_parts(self, file: Path) -> str:
        size = file.stat().st_size
        upload = self.request("POST", "/v1/uploads", json={"filename": file.name, "bytes": size})
        path = f"/v1/uploads/{upload.json()['id']}"
        with file.open("rb") as source:
            for number in range(1, -(-size // PART_BYTES) + 1):
                self._put_part(f"{path}/parts/{number}", source.read(PART_BYTES))
        self.request("POST", f"{path}/complete")
        upload_id: str = upload.json()["id"]
        return upload_id

    def _put_part(self, path: str, part: bytes) -> None:
        digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
        headers = {"Content-Digest": f"sha-256=:{digest}:"}
        for attempt in range(5):
            try:
                self.request("PUT", path, content=part, headers=headers)
            except httpx.TransportError:
                if attempt == 4:
                    raise
                time.sleep(2.0**attempt)
            else:
                return


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _samples_body(labels: Mapping[str, int] | None, count: int | None, options: Json) -> Json:
    body = {"labels": dict(labels) if labels is not None else None, "count": count, **options}
    return {name: value for name, value in body.items() if value is not None}


def _api_error(response: httpx.Response) -> APIError:
    try:
        document = response.json()
    except ValueError:
        document = {"detail": f"HTTP {response.status_code}"}
    return APIError(response.status_code, document)
