"""The rows. Every table but `tenants` and `workers` carries a tenant.

Only `core.jobs` writes to `jobs`, `shards`, `events` and `checkpoints`; only `core.datasets` to
`datasets` and `uploads`; only `core.model_registry` to `models` and `aliases`; only `core.webhooks` to
`webhooks` and `deliveries`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.database import UtcDateTime, clock

Json = dict[str, Any]
AutoIncrement = BigInteger().with_variant(
    Integer, "sqlite"
)  # SQLite counts up only in INTEGER keys


class JobKind(StrEnum):
    TRAINING = "training"
    GENERATION = "generation"
    EVALUATION = "evaluation"
    AUGMENTATION = "augmentation"


class JobState(StrEnum):
    """As stored. `pausing` and `cancelling` are shown for `running` with a flag."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ShardState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class DatasetState(StrEnum):
    VALIDATING = "validating"
    READY = "ready"
    FAILED = "failed"


class UploadState(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        Json: JSON().with_variant(JSONB(), "postgresql"),
        list[Any]: JSON().with_variant(JSONB(), "postgresql"),
        datetime: UtcDateTime(),
        # By value: SQLAlchemy would store a member's name, and the API speaks values.
        StrEnum: Enum(
            StrEnum, native_enum=False, length=16, values_callable=lambda kind: list(kind)
        ),
    }


class Tenant(Base):
    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    signing_secret: Mapped[str | None]  # of webhooks that jobs bring; made when it is needed
    created_at: Mapped[datetime] = mapped_column(default=clock())


class ApiKey(Base):
    """An API key, kept as a hash: the text itself is shown once."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    revoked_at: Mapped[datetime | None]


class Upload(Base):
    """A file that arrives in parts. `parts` maps a part's number to {bytes, sha256}."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    state: Mapped[UploadState] = mapped_column(default=UploadState.PENDING)
    filename: Mapped[str]
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())


class UploadPart(Base):
    __tablename__ = "upload_parts"

    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    key: Mapped[str]


class Dataset(Base):
    """`sources` names the uploaded objects until they are validated; `objects` is what was made
    of them: {object: {key, bytes, sha256}}; `summary` describes it (see core.datasets)."""

    __tablename__ = "datasets"
    __table_args__ = (Index("ix_datasets_tenant_id_id", "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    modality: Mapped[str] = mapped_column(default="image")
    state: Mapped[DatasetState] = mapped_column(default=DatasetState.VALIDATING)
    tags: Mapped[Json] = mapped_column(default=dict)
    options: Mapped[Json] = mapped_column(default=dict)
    sources: Mapped[list[Any]] = mapped_column(default=list)
    objects: Mapped[Json] = mapped_column(default=dict)
    summary: Mapped[Json] = mapped_column(default=dict)
    error: Mapped[Json | None]
    attempt: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    ready_at: Mapped[datetime | None]


class Job(Base):
    """One piece of work. See core.jobs for what its columns mean together."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_state_queue", "state", "queue"),
        Index("ix_jobs_tenant_id_id", "tenant_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    kind: Mapped[JobKind]
    queue: Mapped[str]
    state: Mapped[JobState] = mapped_column(default=JobState.QUEUED)
    name: Mapped[str]
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"))
    model_id: Mapped[str | None]  # that is drawn from or measured; its own row names a job
    request: Mapped[Json]
    resolved: Mapped[Json]
    tags: Mapped[Json] = mapped_column(default=dict)
    traceparent: Mapped[str | None]

    attempt: Mapped[int] = mapped_column(default=0)  # claims so far
    worker_losses: Mapped[int] = mapped_column(default=0)  # workers lost since the last checkpoint
    max_worker_losses: Mapped[int]
    fencing_token: Mapped[int] = mapped_column(default=0)  # the fence: grows with every claim
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    available_at: Mapped[datetime] = mapped_column(default=clock())
    notified_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    pause_requested: Mapped[bool] = mapped_column(default=False)
    priority: Mapped[str] = mapped_column(default="normal")
    priority_at: Mapped[datetime] = mapped_column(
        default=clock()
    )  # who goes first: see commands.PRIORITY_OFFSET_S
    step_deadline_at: Mapped[datetime | None]  # a step that still runs then is taken to hang
    retry_of: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))

    phase: Mapped[str | None]
    step: Mapped[int] = mapped_column(default=0)
    progress: Mapped[Json] = mapped_column(default=dict)
    usage: Mapped[Json] = mapped_column(default=dict)
    result: Mapped[Json | None]
    error: Mapped[Json | None]
    version: Mapped[int] = mapped_column(default=0)  # grows with every change that a client sees

    created_at: Mapped[datetime] = mapped_column(default=clock())
    queued_at: Mapped[datetime] = mapped_column(default=clock())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    orphans_removed_at: Mapped[datetime | None]  # files that nobody names were removed


class Shard(Base):
    """Items `start` to `stop` (exclusive) of what a generation job is to make: one file, made by
    whichever worker holds the shard. Held as a job is: by a lease and a fencing token."""

    __tablename__ = "shards"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        Index("ix_shards_state_job_id", "state", "job_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    number: Mapped[int]
    start: Mapped[int] = mapped_column(BigInteger)
    stop: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[ShardState] = mapped_column(default=ShardState.QUEUED)
    fencing_token: Mapped[int] = mapped_column(default=0)  # the fence: grows with every claim
    worker_losses: Mapped[int] = mapped_column(default=0)  # workers lost over it
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    step_deadline_at: Mapped[datetime | None]
    items_done: Mapped[int] = mapped_column(BigInteger, default=0)  # items so far
    cpu_s: Mapped[float] = mapped_column(default=0.0)  # over all claims
    wall_s: Mapped[float] = mapped_column(default=0.0)
    labels: Mapped[Json] = mapped_column(default=dict)  # how many of each were made
    error: Mapped[Json | None]


class Event(Base):
    """What happened in a job, in the order of `id`."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_job_id_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(AutoIncrement, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    type: Mapped[str]
    level: Mapped[str] = mapped_column(default="info")
    step: Mapped[int | None]
    data: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Checkpoint(Base):
    """A saved state of a training job: `files["state"]` to resume from, `files["model"]` to sample from."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "fencing_token", "step"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    fencing_token: Mapped[int]
    step: Mapped[int]
    files: Mapped[Json]  # {"state" | "model": {key, bytes, sha256}}
    metrics: Mapped[Json] = mapped_column(default=dict)
    manifest: Mapped[Json] = mapped_column(default=dict)  # of the model that it would make
    score: Mapped[float | None]  # how good its samples are; higher is better
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Artifact(Base):
    """A file that a job made, such as a preview. Named, immutable."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("job_id", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    name: Mapped[str]
    step: Mapped[int | None]
    media_type: Mapped[str]
    key: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Model(Base):
    """One version of a named model: a checkpoint of a training job, or what was imported."""

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name", "version"),
        UniqueConstraint("job_id", "step"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    version: Mapped[int]
    modality: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))  # null: imported
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"))
    step: Mapped[int]
    description: Mapped[str | None]
    weights: Mapped[Json]  # {key, bytes, sha256}
    manifest: Mapped[Json]  # what sampling needs to know without reading the weights
    tags: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Alias(Base):
    """`name@alias`: a version that can be moved without those who use it knowing."""

    __tablename__ = "aliases"
    __table_args__ = (Index("ix_aliases_model_id", "model_id"),)

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    set_at: Mapped[datetime] = mapped_column(default=clock(), onupdate=clock())


class IdempotencyKey(Base):
    """What a client's Idempotency-Key stands for: reserved first, answered with the effect."""

    __tablename__ = "idempotency_keys"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    reservation_id: Mapped[str]
    lease_until: Mapped[datetime]
    response_status: Mapped[int | None]
    response_body: Mapped[Json | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Worker(Base):
    """A process that takes jobs; it belongs to no tenant."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    queues: Mapped[list[Any]]
    host: Mapped[str]
    gflops: Mapped[float | None]  # a matrix product on one thread; for estimates
    device: Mapped[str] = mapped_column(default="cpu")
    started_at: Mapped[datetime] = mapped_column(default=clock())
    seen_at: Mapped[datetime] = mapped_column(default=clock())


class Webhook(Base):
    """A URL that is told of jobs: of all of a tenant's, or of the one that has brought it."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_tenant_id_job_id", "tenant_id", "job_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    name: Mapped[str | None]
    url: Mapped[str]
    events: Mapped[list[Any]]
    secret: Mapped[str]  # the text itself: signing needs it
    created_at: Mapped[datetime] = mapped_column(default=clock())
    disabled_at: Mapped[datetime | None]


class Delivery(Base):
    """A message to a webhook: the outbox until it is sent, and the record of it afterwards."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_next_at", "next_at"),
        Index("ix_deliveries_webhook_id_id", "webhook_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    type: Mapped[str]
    payload: Mapped[str]  # JSON as text: it is signed, and must stay the same to the byte
    attempt: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime | None] = mapped_column(default=clock())  # null: no more attempts
    delivered_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    response_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
