"""Interface between the service and a kind of job."""

from collections.abc import Callable
from typing import Any, Protocol, Self

from pydantic import BaseModel
from sqlalchemy.orm import Session

from core.jobs import NewJob
from core.tables import Job, JobKind, Model
from job_kinds.lease import Lease
from job_kinds.request import JobRequest
from modalities.sampling import Batch, Sampler, SamplingPlan


class SampleStream(Protocol):
    """Batches of a sampling plan, generated in turns with the other requests of the API."""

    @property
    def sampler(self) -> Sampler: ...

    def __next__(self) -> Batch: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_error: object) -> None: ...


# Samples a model, for plans that generate some items to check and measure the job.
OpenStream = Callable[[Model, SamplingPlan], SampleStream]
Finish = Callable[[Session], object]  # ends a job that succeeded, in one transaction


class Kind(Protocol):
    """A kind of job: how it is requested, planned and run."""

    @property
    def name(self) -> JobKind: ...

    @property
    def scope(self) -> str:
        """Scope that an API key needs to create and control the job."""

    @property
    def queue(self) -> str:
        """Queue whose workers run the job."""

    @property
    def links(self) -> tuple[str, ...]:
        """Resources of a job, at `/v1/jobs/{id}/{link}`, in addition to its events."""

    @property
    def request(self) -> type[JobRequest]:
        """Body of the request that creates a job. It has the literal field `kind`."""

    @property
    def plan_view(self) -> type[BaseModel]:
        """Body of the response to `validate_only`."""

    @property
    def result_view(self) -> type[BaseModel]:
        """Result of a succeeded job."""

    @property
    def specs(self) -> tuple[type[BaseModel], ...]:
        """Models of the resolved request, one of which applies."""

    def plan(
        self, tenant_id: str, request: Any, seed: int, open_stream: OpenStream
    ) -> NewJob | BaseModel:
        """Return the job to create or, with `validate_only`, a `plan_view`.

        Raises a SemblanceError if the job is not possible.
        """

    def run(self, job: Job, lease: Lease) -> Finish:
        """Run a claimed job in this process.

        Returns:
            A function that finishes the job in one transaction.

        Raises:
            JobError: The job failed.
            LeaseLost, JobCancelled, JobPaused, WorkerStopping: See `Lease`.
        """
