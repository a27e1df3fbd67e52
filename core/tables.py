"""Database tables.

Every table has a `tenant_id`, except `tenants`, `erased_tenants`, `workers` and `losses`.

Only `core.jobs` writes to `jobs`, `shards`, `events`, `checkpoints`, `artifacts` and `losses`; only
`core.datasets` to `datasets`, `uploads` and `upload_parts`; only `core.model_registry` to `models`
and `aliases`; only `core.webhooks` to `webhooks` and `deliveries`. Exception: a row of `models`
that `core.model_registry.create_version` returns is added by its caller, in the transaction that
needs it.
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
    String,
    UniqueConstraint,
    delete,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column
from sqlalchemy.orm.attributes import get_history

from core.database import UtcDateTime, clock
from core.devices import DeviceKind

Json = dict[str, Any]
# Names are compared byte by byte on every database, as cursors and prefixes need it.
Name = String().with_variant(String(collation="C"), "postgresql")
AutoIncrement = BigInteger().with_variant(Integer, "sqlite")  # SQLite requires INTEGER keys for it


# Format of `jobs.resolved` and of what it refers to, such as models. Increment it with a change
# that older workers cannot run: they leave jobs of a newer format to others.
JOB_FORMAT = 1

# Conditions of partial indexes, which hold the few rows that processes look for all the time. A
# database uses such an index only for a statement that has the same condition as a literal.
LIVE = "jobs.state IN ('queued', 'running')"
HAS_ORPHANS = "jobs.orphans_removed_at IS NULL AND jobs.finished_at IS NOT NULL"
VALIDATING = "datasets.state = 'validating'"
HAS_REPLACED = "datasets.replaced_at IS NOT NULL"


def where(condition: str) -> dict[str, Any]:
    """Return the arguments of a partial index: the condition without the name of the table."""
    unqualified = text(condition.replace("jobs.", "").replace("datasets.", ""))
    return {"sqlite_where": unqualified, "postgresql_where": unqualified}


class JobKind(StrEnum):
    TRAINING = "training"
    GENERATION = "generation"
    EVALUATION = "evaluation"
    AUGMENTATION = "augmentation"


class JobState(StrEnum):
    """The stored state. The API shows `pausing` and `cancelling` for `running` with a flag."""

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
        # Store values, which the API uses, instead of SQLAlchemy's default, member names.
        StrEnum: Enum(
            StrEnum, native_enum=False, length=16, values_callable=lambda kind: list(kind)
        ),
    }


class Leased:
    """Columns of a table whose rows are held by one process at a time (see core.leases)."""

    fencing_token: Mapped[int] = mapped_column(default=0)  # number of times it was acquired
    lease_until: Mapped[datetime | None]  # null if no process holds the row


class Tenant(Base):
    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    signing_secret: Mapped[str | None]  # for webhooks of single jobs; created on first use
    created_at: Mapped[datetime] = mapped_column(default=clock())
    claimed_at: Mapped[datetime | None]  # when a worker last took a job of the tenant
    suspended_at: Mapped[datetime | None]  # since then, its keys are not valid
    quotas: Mapped[Json] = mapped_column(default=dict)  # in place of the service's, by name


class ErasedTenant(Base):
    """A tenant for which a process that was stopped may still store objects (core.tenants)."""

    __tablename__ = "erased_tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(default=clock())


class ApiKey(Base):
    """An API key, stored as a SHA-256 digest. Its text is shown only once."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to the minute
    quotas: Mapped[Json] = mapped_column(default=dict)  # in place of the service's, by name
    # Each request needs them, and a query of their own would be one more for each.
    tenant_quotas: Mapped[Json] = column_property(
        select(Tenant.quotas).where(Tenant.id == tenant_id).scalar_subquery()
    )


class LoginCode(Base):
    """A one-time code that a browser exchanges for a temporary API key."""

    __tablename__ = "login_codes"

    digest: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    expires_at: Mapped[datetime]


class Upload(Base):
    """A file that is uploaded in parts; each part is a row of `upload_parts`."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_tenant_id_id", "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    state: Mapped[UploadState] = mapped_column(default=UploadState.PENDING)
    filename: Mapped[str]
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    updated_at: Mapped[datetime] = mapped_column(default=clock())  # of the last part


class UploadPart(Base):
    __tablename__ = "upload_parts"
    __table_args__ = (Index("ix_upload_parts_tenant_id", "tenant_id"),)

    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    key: Mapped[str]


class Dataset(Leased, Base):
    """A dataset.

    `sources` lists the uploaded files until they are validated, or as long as the dataset exists if
    its modality keeps them. `objects` maps the names of the objects created from them to {key,
    bytes, sha256}. `replaced` lists earlier objects, which downloads may still read; they are
    deleted later. `summary` describes the objects (see core.datasets).
    """

    __tablename__ = "datasets"
    __table_args__ = (
        Index("ix_datasets_tenant_id_id", "tenant_id", "id"),
        Index("ix_datasets_tenant_id_name_id", "tenant_id", "name", "id"),
        Index("ix_datasets_tenant_id_state_id", "tenant_id", "state", "id"),
        Index("ix_datasets_tenant_id_modality_id", "tenant_id", "modality", "id"),
        Index("ix_datasets_validating", "state", "id", **where(VALIDATING)),
        Index("ix_datasets_replaced_at", "replaced_at", **where(HAS_REPLACED)),
        Index("ix_datasets_tenant_id_state_modality_id", "tenant_id", "state", "modality", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(Name)
    modality: Mapped[str]
    state: Mapped[DatasetState] = mapped_column(default=DatasetState.VALIDATING)
    tags: Mapped[Json] = mapped_column(default=dict)
    options: Mapped[Json] = mapped_column(default=dict)
    sources: Mapped[list[Any]] = mapped_column(default=list)
    objects: Mapped[Json] = mapped_column(default=dict)
    replaced: Mapped[list[Any]] = mapped_column(default=list)
    replaced_at: Mapped[datetime | None]  # the last time; null if `replaced` is empty
    summary: Mapped[Json] = mapped_column(default=dict)
    error: Mapped[Json | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    ready_at: Mapped[datetime | None]

    @property
    def stored_bytes(self) -> int:
        uploaded = [part for source in self.sources for part in source["parts"]]
        files = [*self.objects.values(), *self.replaced, *uploaded]
        return sum(int(file["bytes"]) for file in files)

    @property
    def object_keys(self) -> list[str]:
        """Keys of all objects that were created from the uploaded files."""
        return [file["key"] for file in [*self.objects.values(), *self.replaced]]


class Job(Leased, Base):
    """A job. See core.jobs for its life cycle."""

    __tablename__ = "jobs"
    __table_args__ = (
        # The order of a queue, and all that its positions and turns are counted from.
        Index(
            "ix_jobs_live",
            *("state", "queue", "priority_at", "id", "tenant_id", "device_kind", "format"),
            **where(LIVE),
        ),
        Index("ix_jobs_with_orphans", "finished_at", **where(HAS_ORPHANS)),
        Index("ix_jobs_retry_of", "retry_of", **where("retry_of IS NOT NULL")),
        Index("ix_jobs_tenant_id_id", "tenant_id", "id"),
        Index("ix_jobs_tenant_id_name_id", "tenant_id", "name", "id"),
        Index("ix_jobs_tenant_id_state_id", "tenant_id", "state", "id"),
        Index("ix_jobs_tenant_id_kind_id", "tenant_id", "kind", "id"),
        Index("ix_jobs_dataset_id_tenant_id_id", "dataset_id", "tenant_id", "id"),
        Index("ix_jobs_tenant_id_state_kind_id", "tenant_id", "state", "kind", "id"),
        Index("ix_jobs_tenant_id_model_id_id", "tenant_id", "model_id", "id"),
        # For evaluations of a model. SQLite without statistics chooses by the number of columns.
        Index(
            "ix_jobs_tenant_id_model_id_kind_state_id",
            *("tenant_id", "model_id", "kind", "state", "id"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    kind: Mapped[JobKind]
    queue: Mapped[str]
    state: Mapped[JobState] = mapped_column(default=JobState.QUEUED)
    name: Mapped[str] = mapped_column(Name)
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"))
    # The model to sample or evaluate. Not a foreign key, because `models.job_id` refers to jobs.
    model_id: Mapped[str | None]
    request: Mapped[Json]
    resolved: Mapped[Json]
    format: Mapped[int] = mapped_column(default=JOB_FORMAT)
    warnings: Mapped[list[Any]] = mapped_column(default=list)  # {code, message}
    tags: Mapped[Json] = mapped_column(default=dict)
    traceparent: Mapped[str | None]
    device: Mapped[str] = mapped_column(default="auto")  # requested: auto, cpu or gpu
    # The kind of worker that may claim the job; null if any (see core.jobs.devices).
    device_kind: Mapped[DeviceKind | None]
    key_id: Mapped[str | None]  # of the API key that created it
    reserved_bytes: Mapped[int] = mapped_column(BigInteger, default=0)  # until it ends

    worker_losses: Mapped[int] = mapped_column(default=0)  # since the last checkpoint or shard
    max_worker_losses: Mapped[int]
    device_losses: Mapped[int] = mapped_column(default=0)  # since the last checkpoint or shard
    owner: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]
    available_at: Mapped[datetime] = mapped_column(default=clock())
    notified_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    pause_requested: Mapped[bool] = mapped_column(default=False)
    priority: Mapped[str] = mapped_column(default="normal")
    # The queue's order: the creation time, shifted by commands.PRIORITY_OFFSET_S.
    priority_at: Mapped[datetime] = mapped_column(default=clock())
    step_deadline_at: Mapped[datetime | None]  # a step that is still running then is stalled
    retry_of: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))

    phase: Mapped[str | None]
    step: Mapped[int] = mapped_column(default=0)
    progress: Mapped[Json] = mapped_column(default=dict)
    usage: Mapped[Json] = mapped_column(default=dict)
    result: Mapped[Json | None]
    error: Mapped[Json | None]
    version: Mapped[int] = mapped_column(default=0)  # incremented by every visible state change

    created_at: Mapped[datetime] = mapped_column(default=clock())
    queued_at: Mapped[datetime] = mapped_column(default=clock())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    orphans_removed_at: Mapped[datetime | None]  # when garbage collection handled the job
    # True for an evaluation that follows a training. `sort_order` puts the column last, where the
    # migration adds it.
    automatic: Mapped[bool] = mapped_column(default=False, sort_order=1)


class Shard(Leased, Base):
    """Items `start` to `stop` (exclusive) of a generation job, written to one file."""

    __tablename__ = "shards"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        Index("ix_shards_job_id_state", "job_id", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    number: Mapped[int]
    start: Mapped[int] = mapped_column(BigInteger)
    stop: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[ShardState] = mapped_column(default=ShardState.QUEUED)
    worker_losses: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None]
    step_deadline_at: Mapped[datetime | None]
    items_done: Mapped[int] = mapped_column(BigInteger, default=0)  # by the current claim
    cpu_s: Mapped[float] = mapped_column(default=0.0)  # over all claims
    wall_s: Mapped[float] = mapped_column(default=0.0)  # over all claims
    labels: Mapped[Json] = mapped_column(default=dict)  # number of items per label
    error: Mapped[Json | None]


class Loss(Base):
    """The number of jobs of all tenants that lost their worker for a reason (core.jobs.losses)."""

    __tablename__ = "losses"

    reason: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger, default=0)


class Event(Base):
    """An event of a job. Within a job, ids increase in the order of commits."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_job_id_id", "job_id", "id"),
        Index("ix_events_tenant_id_id", "tenant_id", "id"),
    )

    id: Mapped[int] = mapped_column(AutoIncrement, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    type: Mapped[str]
    level: Mapped[str] = mapped_column(default="info")
    step: Mapped[int | None]
    data: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Checkpoint(Base):
    """A checkpoint of a training job.

    `files["state"]` resumes the training; `files["model"]` holds the weights for sampling. Once the
    job has succeeded, only checkpoints of models keep their state.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "fencing_token", "step"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    fencing_token: Mapped[int]
    step: Mapped[int]
    files: Mapped[Json]  # {"state" | "model": {key, bytes, sha256}}
    metrics: Mapped[Json] = mapped_column(default=dict)
    manifest: Mapped[Json] = mapped_column(default=dict)  # manifest of a model created from it
    score: Mapped[float | None]  # quality of its samples; higher is better
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Artifact(Base):
    """A named file that a job created, such as a preview or a shard."""

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
    """One version of a named model, from a checkpoint of a training job or from an import."""

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name", "version"),
        UniqueConstraint("job_id", "step"),
        Index("ix_models_tenant_id_id", "tenant_id", "id"),
        Index("ix_models_tenant_id_name_id", "tenant_id", "name", "id"),
        Index("ix_models_tenant_id_modality_id", "tenant_id", "modality", "id"),
        Index("ix_models_dataset_id_tenant_id_id", "dataset_id", "tenant_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(Name)
    version: Mapped[int]
    modality: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))  # null for imported models
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"))
    step: Mapped[int]
    description: Mapped[str | None]
    weights: Mapped[Json]  # {key, bytes, sha256}
    manifest: Mapped[Json]  # the metadata that sampling needs before it reads the weights
    tags: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Tag(Base):
    """A tag of a dataset, job or model, for lists by tag (see core.listing)."""

    __tablename__ = "tags"
    __table_args__ = (
        Index(
            "ix_tags_tenant_id_key_value_resource_id", "tenant_id", "key", "value", "resource_id"
        ),
    )

    resource_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    value: Mapped[str]


class AuditEntry(Base):
    """A change by an API key, written in the transaction of the change and never changed."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_tenant_id_id", "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    key_id: Mapped[str]
    action: Mapped[str]
    resource: Mapped[str]
    request_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Alias(Base):
    """A movable pointer to a version of a model: `name@alias`."""

    __tablename__ = "aliases"
    __table_args__ = (Index("ix_aliases_model_id", "model_id"),)

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    set_at: Mapped[datetime] = mapped_column(default=clock(), onupdate=clock())


class IdempotencyKey(Leased, Base):
    """An `Idempotency-Key`, first reserved and later completed with the saved response."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("ix_idempotency_keys_created_at", "created_at"),
        Index("ix_idempotency_keys_resource_id", "resource_id"),
    )

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    response_status: Mapped[int | None]
    response_body: Mapped[Json | None]  # {} once the resource is deleted
    resource_id: Mapped[str | None]  # of what the request has created
    created_at: Mapped[datetime] = mapped_column(default=clock())


class Worker(Base):
    """A worker process. Workers serve all tenants."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    queues: Mapped[list[Any]]
    host: Mapped[str]
    gflops: Mapped[float | None]  # speed of a matrix product on one thread or GPU, for estimates
    device: Mapped[Json]  # fields of core.devices.DeviceReport
    version: Mapped[str] = mapped_column(default="")  # of the server's software
    cpus: Mapped[int] = mapped_column(default=0)
    memory_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[datetime] = mapped_column(default=clock())
    seen_at: Mapped[datetime] = mapped_column(default=clock())


class Webhook(Base):
    """A URL that receives events of all jobs of a tenant, or of one job if `job_id` is set."""

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("ix_webhooks_tenant_id_job_id", "tenant_id", "job_id"),
        Index("ix_webhooks_job_id", "job_id", **where("job_id IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    name: Mapped[str | None]
    url: Mapped[str]
    events: Mapped[list[Any]]
    secret: Mapped[str]  # in plain text, because signing needs it
    created_at: Mapped[datetime] = mapped_column(default=clock())
    disabled_at: Mapped[datetime | None]


class Delivery(Leased, Base):
    """A message to a webhook: an outbox entry until it is sent, then the record of its delivery."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_next_at", "next_at"),
        Index("ix_deliveries_webhook_id_id", "webhook_id", "id"),
        Index("ix_deliveries_job_id", "job_id"),
        Index("ix_deliveries_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    type: Mapped[str]
    payload: Mapped[str]  # JSON as text, because the signature covers its exact bytes
    next_at: Mapped[datetime | None] = mapped_column(default=clock())  # null if delivered or failed
    delivered_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    response_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())


@event.listens_for(Session, "after_flush")
def _index_tags(session: Session, _context: object) -> None:
    """Keep the rows of `tags` equal to the column `tags` of datasets, jobs and models."""
    for row in (*session.new, *session.dirty):
        if isinstance(row, Dataset | Job | Model) and get_history(row, "tags").has_changes():
            if row not in session.new:
                session.execute(delete(Tag).where(Tag.resource_id == row.id))
            for key, value in (row.tags or {}).items():
                tag = {"resource_id": row.id, "key": key, "value": value}
                session.execute(insert(Tag).values(tenant_id=row.tenant_id, **tag))
