"""Server settings, read once from the environment."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, PositiveFloat, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.limits import MIB, Limits

QUEUES = ("training", "generation", "evaluation")  # of all kinds of jobs
JobKindName = Literal["training", "generation", "evaluation", "augmentation"]
DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d{1,3})?)$"


class Quotas(BaseModel):
    """Shares of one tenant, and of one API key. Each API process counts requests on its own."""

    requests_per_minute: int = Field(
        60_000, ge=1, description="Maximum requests of a tenant in a minute."
    )
    key_requests_per_minute: int = Field(
        60_000, ge=1, description="Maximum requests of an API key in a minute."
    )
    samples_per_minute: int | None = Field(
        None,
        ge=1,
        description="Maximum samples of a tenant's requests in a minute, generation jobs excepted. "
        "A request is accepted while some are left, even if it has more; the next ones then "
        "wait longer. Default: no limit.",
    )
    key_samples_per_minute: int | None = Field(
        None, ge=1, description="The same of an API key. Default: no limit."
    )
    concurrent_samples: int = Field(
        224, ge=1, description="Maximum concurrent samples requests of a tenant."
    )
    key_concurrent_samples: int = Field(
        224, ge=1, description="Maximum concurrent samples requests of an API key."
    )
    streams: int = Field(
        1_024, ge=1, description="Maximum open streams of events, and waits for jobs, of a tenant."
    )
    key_streams: int = Field(
        1_024, ge=1, description="Maximum open streams and waits of an API key."
    )
    uploads: int = Field(
        1_000, ge=1, description="Maximum uploads of a tenant that are not datasets yet."
    )
    upload_bytes: int = Field(100 * 1024 * MIB, ge=1, description="Maximum bytes in these uploads.")
    waiting_jobs: int = Field(
        5_000,
        ge=1,
        description="Maximum queued and paused jobs of a tenant, automatic evaluations excepted.",
    )
    running_jobs: int | None = Field(
        None, ge=1, description="Maximum running jobs of a tenant; others wait. Default: no limit."
    )
    stored_bytes: int | None = Field(
        None, ge=1, description="Maximum stored bytes of a tenant. Default: no limit."
    )
    compute_seconds_per_day: int | None = Field(
        None,
        ge=1,
        description="CPU and GPU seconds of the jobs that a tenant created in the last 24 hours, "
        "above which it creates no more. Default: no limit.",
    )


class Settings(BaseSettings):
    """Settings from environment variables with the prefix SEMBLANCE_.

    Nested settings use two underscores: SEMBLANCE_LIMITS__STEPS. By default all state is in one
    folder, and no database or broker server is needed.
    """

    model_config = SettingsConfigDict(
        env_prefix="SEMBLANCE_", env_nested_delimiter="__", extra="ignore"
    )

    data_dir: Path = Field(
        Path("var"), description="Data folder of a server on one machine. Default: ./var."
    )
    database_url: str = Field("", description="SQLAlchemy URL. Default: SQLite in `data_dir`.")
    database_timeout_seconds: float = Field(
        15.0,
        gt=0,
        description="PostgreSQL: maximum time of a statement, and to wait for a connection.",
    )
    database_pool_size: int = Field(
        5,
        ge=1,
        description="PostgreSQL: connections that an API or a sampler keeps open. A process of a "
        "worker keeps one.",
    )
    database_max_connections: int = Field(
        15,
        ge=1,
        description="PostgreSQL: maximum connections of an API or a sampler, at least "
        "`database_pool_size`. A process of a worker has at most two.",
    )
    database_transaction_pooling: bool = Field(
        False,
        description="PostgreSQL: `database_url` is that of a pooler that lends connections for "
        "single transactions, such as PgBouncer. No statements are prepared then, and each "
        "transaction sets its own timeouts.",
    )
    database_wait_seconds: float = Field(
        0.0, ge=0, description="Internal: a worker sets it for its child processes."
    )
    broker_url: SecretStr = Field(
        SecretStr(""), description="Redis URL. If empty, workers only poll the database."
    )
    storage_url: str = Field(
        "", description="URL of the object store (file:// or s3://). Default: in `data_dir`."
    )
    scratch_dir: Path | None = Field(
        None, description="Folder of local temporary files. Default: in `data_dir`."
    )
    host: str = Field("127.0.0.1", description="Address on which the API listens.")
    port: int = Field(8000, ge=0, le=65_535, description="Port on which the API listens.")
    base_url: str = Field(
        "", description="URL by which clients reach the API. Default: http://host:port."
    )
    allowed_hosts: list[str] = Field(
        ["localhost", "127.0.0.1", "[::1]"],
        description="Host headers that the API accepts; * for all.",
    )
    cors_allowed_origins: list[str] = Field(
        [],
        description="Origins whose pages may call the API from a browser, such as "
        "https://app.example.com; * for all. Default: none.",
    )
    trusted_proxies: list[str] = Field(
        [],
        description="Addresses and networks of reverse proxies whose X-Forwarded headers are "
        "believed. Default: none.",
    )
    max_connections: int = Field(
        2_048,
        ge=1,
        description="Maximum number of open connections. Fewer if the system's limit on open files "
        "is lower. At the limit, the connection that has waited longest for a request is closed.",
    )
    max_connections_per_address: int = Field(
        1_024,
        ge=1,
        description="Maximum number of open connections of one address that is not a trusted "
        "proxy.",
    )
    admin_key: SecretStr = Field(
        SecretStr(""), description="Text of the first API key, for containers."
    )
    signing_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that signs URLs and sample manifests, the same for all API processes. "
        "Default: a random one, in `data_dir`.",
    )

    lease_seconds: float = Field(
        30.0, gt=0, description="Time without a heartbeat after which a worker loses its job."
    )
    heartbeat_seconds: float = Field(10.0, gt=0, description="Interval of a worker's heartbeats.")
    sweep_seconds: float = Field(
        5.0, gt=0, description="Interval at which lost jobs are detected and requeued."
    )
    poll_seconds: float = Field(
        2.0, gt=0, description="Interval at which a worker polls the database for jobs."
    )
    step_timeout_seconds: float = Field(
        600.0,
        gt=0,
        description="Time after which a training step counts as stalled. Longer if all steps are "
        "slow.",
    )
    report_seconds: float = Field(
        1.0, gt=0, description="Interval at which training reports its progress."
    )
    checkpoint_seconds: float = Field(
        30.0, gt=0, description="Interval of checkpoints with `checkpoint.interval_steps: auto`."
    )
    shutdown_grace_seconds: float = Field(
        20.0, gt=0, description="Time that a worker has to save a checkpoint before it stops."
    )
    drain_delay_seconds: float = Field(
        0.0,
        ge=0,
        description="Time after SIGTERM in which the API goes on but is not ready, so that load "
        "balancers stop sending requests.",
    )
    request_grace_seconds: int = Field(
        10, ge=1, description="Time that requests have to end when the API stops."
    )
    publish_timeout_seconds: float = Field(
        2.0, gt=0, description="Maximum time to wait for the broker."
    )
    ingest_timeout_seconds: float = Field(
        1_800.0, gt=0, description="Maximum time to validate a dataset."
    )
    concurrent_readers: int = Field(
        2,
        ge=1,
        description="Maximum number of processes on a machine that read untrusted files at the "
        "same time. Each may use 4 GiB of memory.",
    )
    orphan_retention_seconds: float = Field(
        3_600.0,
        gt=0,
        description="Age of an ended job at which its orphaned files are deleted, and time for "
        "which replaced files of a dataset are kept, so that downloads in progress can end.",
    )
    upload_retention_seconds: float = Field(
        7 * 86_400.0,
        gt=0,
        description="Time without a new part after which an upload that is not a dataset yet is "
        "deleted.",
    )
    webhook_retention_seconds: float = Field(
        30 * 86_400.0, gt=0, description="Time for which records of webhook deliveries are kept."
    )
    event_retention_seconds: float | None = Field(
        None,
        gt=0,
        description="Age at which events of jobs, with metrics and logs, are deleted. "
        "Default: never.",
    )
    job_retention_seconds: dict[JobKindName, PositiveFloat] = Field(
        {},
        description="Age of ended jobs at which they are deleted with their files, by kind: "
        '{"generation": 604800}. Jobs that trained or evaluated an existing model are kept. '
        "Default: never.",
    )
    artifact_retention_seconds: dict[JobKindName, PositiveFloat] = Field(
        {},
        description="Age of ended jobs at which their files are deleted and the jobs kept, by "
        'kind: {"generation": 86400} lets samples expire after a day. Reports of existing models '
        "are kept. Default: never.",
    )
    max_worker_losses: int = Field(
        3, ge=1, description="Lost workers without a new checkpoint after which a job fails."
    )

    device: str = Field(
        "auto",
        pattern=DEVICE_PATTERN,
        description="Device of a worker: `auto` (a GPU if there is one), `cpu`, `cuda` or "
        "`cuda:N`.",
    )
    cuda_graphs: bool = Field(
        True,
        description="Whether a GPU worker records training steps as CUDA graphs, which saves most "
        "of the time to launch kernels.",
    )
    sampling_device: str = Field(
        "cpu",
        pattern=DEVICE_PATTERN,
        description="Device on which the API and the sampler generate samples: `auto`, `cpu`, "
        "`cuda` or `cuda:N`.",
    )
    device_check_seconds: float = Field(
        120.0, gt=0, description="Interval at which an idle worker checks that its GPU still works."
    )
    max_device_losses: int = Field(
        5, ge=1, description="Lost GPUs without a new checkpoint after which a job fails."
    )
    worker_threads: int = Field(
        0, ge=0, description="Torch threads of a worker. Default 0: one or two, by CPU count."
    )
    worker_queues: list[str] = Field(list(QUEUES), description="Queues that a worker serves.")
    worker_until_idle: bool = Field(
        False, description="Let a worker exit once no job is due, for jobs of a scheduler."
    )
    worker_metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Port on which a worker serves `/metrics`, without a key. Default 0: none.",
    )
    worker_metrics_host: str = Field(
        "127.0.0.1", description="Address on which a worker serves `/metrics`."
    )
    worker_folder: Path | None = Field(
        None, description="Internal: a worker sets it for its child processes."
    )
    preload: bool = Field(
        True,
        description="Load torch and pyarrow when the API starts, otherwise when a request needs "
        "them: an API whose samples come from a sampler then has no need of torch.",
    )
    sampler_threads: int = Field(1, ge=1, description="Torch threads of the sampler.")
    model_cache_bytes: int = Field(
        1024 * MIB, ge=MIB, description="Maximum bytes of models that the sampler caches."
    )
    sampler_concurrency: int = Field(
        256, ge=1, description="Maximum number of concurrent samples requests."
    )
    batch_window_seconds: float = Field(
        0.002, ge=0, le=0.1, description="Time that an incomplete batch waits for more requests."
    )
    auto_evaluate: bool = Field(True, description="Default of `evaluate` in training requests.")
    webhook_allowed_networks: list[str] = Field(
        [], description="Private hosts and networks that webhooks may reach."
    )
    webhook_allow_http: bool = Field(False, description="Allow webhooks without TLS.")
    dataset_url_hosts: list[str] = Field(
        [],
        description="Hosts from which datasets may be fetched, such as data.example.com, also "
        "private ones; * for all public ones. Default: none.",
    )
    dataset_url_allow_http: bool = Field(False, description="Allow URLs of datasets without TLS.")
    allowed_output_uris: list[str] = Field(
        [], description="URLs (file://, s3://) under which generation jobs may write their files."
    )
    min_free_disk_bytes: int = Field(
        256 * MIB, ge=0, description="Free disk space below which uploads and jobs are rejected."
    )
    access_log: bool = Field(
        False, description="Log each request but health checks, with its request id and trace."
    )
    traces_url: str = Field(
        "",
        pattern=r"^$|^(https?|file)://",
        description="Where spans of OpenTelemetry go: an OTLP collector, such as "
        "http://collector:4318/v1/traces, or a file (file:///var/log/spans.json). Needs the extra "
        "`traces`. Default: none.",
    )
    log_level: str = Field("INFO", description="Minimum level of log records.")

    limits: Limits = Limits()
    quotas: Quotas = Quotas()

    @model_validator(mode="after")
    def fill_defaults(self) -> Self:
        self.data_dir = self.data_dir.resolve()
        if not self.database_url:
            self.database_url = f"sqlite:///{self.data_dir / 'semblance.db'}"
        if not self.storage_url:
            self.storage_url = (self.data_dir / "objects").as_uri()
        if self.scratch_dir is None:
            self.scratch_dir = self.data_dir / "scratch"
        if not self.base_url:
            self.base_url = f"http://{self.host}:{self.port}"
        if self.database_max_connections < self.database_pool_size:
            raise ValueError("`database_max_connections` is below `database_pool_size`.")
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("`lease_seconds` must be at least twice `heartbeat_seconds`.")
        return self

    @property
    def scratch(self) -> Path:
        assert self.scratch_dir is not None  # noqa: S101 - fill_defaults sets it
        self.scratch_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.scratch_dir

    @property
    def training_threads(self) -> int:
        # With small networks and batches, more threads would mostly wait for each other.
        return self.worker_threads or max(1, min(2, (os.cpu_count() or 1) // 2))


@lru_cache
def get_settings() -> Settings:
    return Settings()
