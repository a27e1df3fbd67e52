"""Program that uses a client made by openapi-python-client, as a stranger would write it.

Arguments: address of the server, API key, file to upload. It trains a tiny model on the file,
generates samples, evaluates the model and reads the report.
"""

import io
import sys
import time
import zipfile
from pathlib import Path

from generated import AuthenticatedClient
from generated.api.datasets import create_dataset
from generated.api.jobs import create_job, read_job
from generated.api.models import read_model, read_report
from generated.api.samples import create_samples
from generated.models import (
    Budget,
    CreateDatasetFilesBody,
    DatasetView,
    EvaluationRequest,
    ImageHyperparameters,
    JobView,
    Report,
    SamplesRequest,
    TrainingRequest,
)
from generated.types import File


def wait(client: AuthenticatedClient, job: JobView) -> JobView:
    assert isinstance(job, JobView), job
    deadline = time.monotonic() + 400
    while not job.terminal:
        assert time.monotonic() < deadline, job
        job = read_job.sync(job.id, client=client, wait=10)
        assert isinstance(job, JobView), job
    assert job.state == "succeeded", job.error
    return job


def main(url: str, key: str, path: Path) -> None:
    client = AuthenticatedClient(base_url=url, token=key, timeout=60)
    file = File(payload=io.BytesIO(path.read_bytes()), file_name=path.name)
    dataset = create_dataset.sync(client=client, body=CreateDatasetFilesBody(file=[file]))
    assert isinstance(dataset, DatasetView), dataset

    tiny = ImageHyperparameters(
        latent_dim=4, coarse_channels=8, fine_channels=8, critic_width=8, feature_width=8
    )
    request = TrainingRequest(
        kind="training", dataset=dataset.id, hyperparameters=tiny, budget=Budget(steps=20)
    )
    trained = wait(client, create_job.sync(client=client, body=request))
    model = read_model.sync(trained.result.model, client=client)
    assert model.labels == ["cat", "dog"]

    body = SamplesRequest.from_dict({"labels": {"cat": 3, "dog": 2}, "seed": 7})
    samples = create_samples.sync(model.id, client=client, body=body)
    with zipfile.ZipFile(samples.payload) as archive:
        assert sum(name.startswith("cat/") for name in archive.namelist()) == 3

    evaluation = EvaluationRequest(kind="evaluation", model=model.id)
    wait(client, create_job.sync(client=client, body=evaluation))
    report = read_report.sync(model.id, client=client)
    assert isinstance(report, Report), report
    assert report.state == "evaluated"
    assert report.verdict.verdict in {"good", "poor", "collapsed", "memorized"}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
