"""Client with a method for each operation, and methods that do several of them in order."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from semblance._async.calls import quote
from semblance._async.transfers import MULTIPART_BYTES, AsyncTransfers
from semblance.downloads import Download
from semblance.errors import APIError, JobFailedError
from semblance.files import sha256_of, uploadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import Literal, Unpack

    from semblance import types

POLL_S = 0.5
SEED_BITS = 31


class AsyncClient(AsyncTransfers):
    """A client of one service; use it as a context manager, or call `aclose` at the end.

    `timeout` is the longest silence of the service in seconds. Requests are repeated for `patience`
    seconds without an answer, so a restart of the service goes unnoticed.
    """

    async def upload(
        self, *paths: str | Path, **meta: Unpack[types.DatasetOptions]
    ) -> types.DatasetView:
        """Create a dataset from files and return it once it is `ready`.

        `paths` is an archive, a folder, idx files, an npz file or a table. `meta` takes `name` and
        `tags`; for images `class_names`, `resize` and `size`; for tables `target`,
        `exclude_columns` and `schema`; and the other fields of `POST /v1/datasets`.

        Raises:
            APIError: The upload was rejected, or the dataset is not readable.
            FileNotFoundError: A path does not exist.
        """
        with uploadable([Path(path) for path in paths]) as files:
            if sum(file.stat().st_size for file in files) > MULTIPART_BYTES:
                uploads = [await self.upload_file(file) for file in files]
                dataset = await self.create_dataset_of_uploads(files, uploads, meta)
            else:
                parts = [("file", (file.name, file.read_bytes())) for file in files]
                data = {"meta": json.dumps(meta)}
                dataset = cast(
                    "types.DatasetView",
                    await self._json("POST", "/v1/datasets", files=parts, data=data),
                )
        return await self.wait_for_dataset(dataset["id"])

    async def create_builtin_dataset(
        self, name: str, /, **meta: Unpack[types.DatasetOptions]
    ) -> types.DatasetView:
        """Create a dataset from one that ships with the service, such as `digits`."""
        return await self.create_dataset(cast("types.DatasetFrom", {"builtin": name, **meta}))

    async def wait_for_dataset(self, dataset_id: str) -> types.DatasetView:
        """Poll the dataset until it is `ready`.

        Raises:
            APIError: The dataset has failed.
        """
        while True:
            dataset = await self.read_dataset(dataset_id)
            if dataset["state"] == "ready":
                return dataset
            if dataset["state"] == "failed":
                raise APIError(422, cast("dict[str, Any]", dataset["error"]))
            await asyncio.sleep(POLL_S)

    async def train(
        self, dataset_id: str, **options: Unpack[types.TrainingOptions]
    ) -> types.JobView:
        """Create a training job: preset, budget, hyperparameters, name, seed and so on."""
        body = {"kind": "training", "dataset": dataset_id, **options}
        return await self.create_job(cast("types.TrainingRequest", body))

    async def augment(
        self, dataset_id: str, **options: Unpack[types.AugmentationOptions]
    ) -> types.JobView:
        """Create an augmentation job, which creates a larger dataset.

        `options` takes model, strategy, target, sources, transforms, evaluate_lift, …
        """
        body = {"kind": "augmentation", "dataset": dataset_id, **options}
        return await self.create_job(cast("types.AugmentationRequest", body))

    async def evaluate(
        self, model: str, **options: Unpack[types.EvaluationOptions]
    ) -> types.JobView:
        """Create an evaluation job; `options` takes fields such as `samples` and `seed`."""
        body = {"kind": "evaluation", "model": model, **options}
        return await self.create_job(cast("types.EvaluationRequest", body))

    async def generate(
        self,
        model: str,
        *,
        labels: Mapping[str, int] | None = None,
        count: int | None = None,
        **options: Unpack[types.GenerationOptions],
    ) -> types.JobView:
        """Create a generation job for any number of samples.

        Call `wait` with its id, then `download_artifacts`. `options` takes the options of `samples`
        and the fields of `POST /v1/jobs`: format, shard_size, output_uri, …
        """
        body = {"kind": "generation", "model": model, **selection(labels, count), **options}
        return await self.create_job(cast("types.GenerationRequest", body))

    async def plan(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Check the body of a job and return its resolved form, an estimate and warnings.

        No job is created. The result is a TrainingPlan, GenerationPlan, EvaluationPlan or
        AugmentationPlan of `semblance.types`, by the kind of the job.
        """
        body = {**job, "validate_only": True}
        return cast("dict[str, Any]", await self._json("POST", "/v1/jobs", json=body))

    async def wait(
        self, job_id: str, *, on_change: Callable[[types.JobView], None] = lambda _job: None
    ) -> types.JobView:
        """Wait until the job has ended, and return it.

        `on_change` is called with the job when its state changes, and twice a second.

        Raises:
            JobFailedError: The job failed or was cancelled.
        """
        while True:
            job = await self.read_job(job_id, wait=POLL_S)
            on_change(job)
            if job["terminal"]:
                if job["state"] != "succeeded":
                    raise JobFailedError(job)
                return job

    async def cancel(self, job_id: str) -> types.JobView:
        """Cancel the job and return it; a job that is already cancelled is returned unchanged."""
        try:
            return await self.cancel_job(job_id)
        except APIError as error:
            # If the response to an earlier try was lost, the job is cancelled already.
            if error.status != 409:
                raise
            job = await self.read_job(job_id)
            if job["state"] not in ("cancelling", "cancelled"):
                raise
            return job

    async def report(self, model: str, *, wait: bool = False) -> types.Report:
        """Return the model's evaluation report: verdict and scores.

        With `wait`, poll until a running evaluation has ended, such as the one after training.
        """
        while True:
            report = await self.read_report(model)
            if not wait or report["state"] != "evaluating":
                return report
            await asyncio.sleep(POLL_S)

    async def stream_samples(
        self,
        model: str,
        *,
        labels: Mapping[str, int] | None = None,
        count: int | None = None,
        format: str | None = None,
        **options: Unpack[types.SampleOptions],
    ) -> AsyncIterator[bytes]:
        """Yield the bytes of a file of samples while the service generates them.

        `format` defaults to csv for tables and to zip for images. `options` takes `seed`, `offset`
        and `balance_labels`; for tables also `conditions`, such as
        `[{"where": {"age": {"gte": 65}}, "count": 100}]`.
        """
        async for chunk in self.stream(_samples(model, labels, count, format, options)):
            yield chunk

    async def samples(
        self,
        model: str,
        *,
        labels: Mapping[str, int] | None = None,
        count: int | None = None,
        format: str | None = None,
        **options: Unpack[types.SampleOptions],
    ) -> bytes:
        """Return samples in memory; the parameters are those of `stream_samples`."""
        download = _samples(model, labels, count, format, options)
        return b"".join([chunk async for chunk in self.stream(download)])

    async def download_samples(
        self,
        model: str,
        file: str | Path,
        *,
        labels: Mapping[str, int] | None = None,
        count: int | None = None,
        format: str | None = None,
        **options: Unpack[types.SampleOptions],
    ) -> Path:
        """Stream samples to a file; `format` defaults to its extension."""
        path = Path(file)
        extension = path.suffix.removeprefix(".")
        await self.save(_samples(model, labels, count, format or extension, options), path)
        return path

    async def download_artifact(self, job_id: str, name: str, file: str | Path) -> Path:
        """Download one file of a job and verify its checksum.

        Raises:
            ChecksumError: The file differs from the checksum that the service states.
            FileNotFoundError: The job has no file of this name.
        """
        artifacts = {row["name"]: row["sha256"] for row in await self.list_artifacts(job_id)}
        if name not in artifacts:
            raise FileNotFoundError(f"Job {job_id} has no file {name}.")
        path = Path(file)
        await self.save(self._artifact(job_id, name), path, sha256=artifacts[name])
        return path

    async def download_artifacts(self, job_id: str, folder: str | Path) -> list[Path]:
        """Download the files of a generation job and verify their checksums.

        Files that are already complete are not downloaded again, so a second call resumes an
        interrupted download.

        Raises:
            ChecksumError: A downloaded file differs from the manifest.
        """
        manifest = await self.read_artifact(job_id, "manifest.json")
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        paths = []
        for shard in manifest["shards"]:
            path = out / Path(shard["name"]).name
            if not (path.exists() and sha256_of(path) == shard["sha256"]):
                download = self._artifact(job_id, shard["name"])
                await self.save(download, path, sha256=shard["sha256"])
            paths.append(path)
        return paths

    async def download_dataset(
        self,
        dataset_id: str,
        file: str | Path,
        *,
        split: Literal["train", "test"] = "train",
        format: str | None = None,
    ) -> Path:
        """Stream a dataset to a file; `format` defaults to its extension.

        Images: .zip, .npz, .tar. Tables: .csv, .ndjson, .parquet, .arrow. `split` is `train`, or
        `test` for the test split that the dataset was published with.
        """
        path = Path(file)
        params = {"format": format or path.suffix.removeprefix("."), "split": split}
        url = f"/v1/datasets/{dataset_id}/content"
        await self.save(Download("GET", url, params), path)
        return path

    async def download_model(self, model: str, file: str | Path) -> Path:
        """Export a model to a file, which `import_model` of any service reads."""
        path = Path(file)
        await self.save(Download("GET", f"/v1/models/{quote(model)}/export"), path)
        return path

    def _artifact(self, job_id: str, name: str) -> Download:
        return Download("GET", f"/v1/jobs/{job_id}/artifacts/{quote(name)}")


def selection(labels: Mapping[str, int] | None, count: int | None) -> dict[str, Any]:
    """Return the fields of a request for samples by label, by total, or neither."""
    fields = {"labels": None if labels is None else dict(labels), "count": count}
    return {name: value for name, value in fields.items() if value is not None}


def _samples(
    model: str,
    labels: Mapping[str, int] | None,
    count: int | None,
    format: str | None,
    options: Mapping[str, Any],
) -> Download:
    """Return the download of samples.

    The seed is chosen here if the caller has none: a repeated request must return the same bytes.
    """
    body = {"seed": secrets.randbits(SEED_BITS), **selection(labels, count), **options}
    path = f"/v1/models/{quote(model)}/samples"
    params, accept = ({"format": format}, "*/*") if format else (None, "text/csv, application/zip")
    return Download("POST", path, params, body, accept, pins_model=True)
