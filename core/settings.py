"""What an operator may choose, read once from the environment."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Limits(BaseModel):
    """Bounds on what one request or one dataset may hold. `GET /v1` shows them."""

    json_bytes: int = Field(MIB, description="a JSON body")
    upload_bytes: int = Field(5 * 1024 * MIB, description="one uploaded file, or all its parts")
    upload_part_bytes: int = Field(256 * MIB, description="one part of a resumable upload")
    upload_parts: int = Field(10_000, description="parts of one resumable upload")
    sync_dataset_bytes: int = Field(
        64 * MIB, description="a larger upload is answered with 202 before it is validated"
    )
    archive_entries: int = Field(1_100_000, description="files in one archive")
    archive_entry_bytes: int = Field(50 * MIB, description="one file of an archive, unpacked")
    archive_bytes: int = Field(20 * 1024 * MIB, description="an archive, unpacked")
    archive_ratio: int = Field(100, description="unpacked to packed, an entry and in total")
    image_side: int = Field(8_192, description="pixels on a side of an uploaded image")
    image_pixels: int = Field(40_000_000, description="pixels of an uploaded image")
    image_size_min: int = Field(8, description="pixels on a side of an image that is learned")
    image_size_max: int = Field(128, description="pixels on a side of an image that is learned")
    images_min: int = Field(10, description="images in a dataset")
    images_max: int = Field(1_000_000, description="images in a dataset")
    classes_max: int = Field(1_000, description="labels of a dataset")
    rows_min: int = Field(5, description="rows of a table")
    rows_max: int = Field(10_000_000, description="rows of a table")
    columns_max: int = Field(2_000, description="columns of a table")
    cells_max: int = Field(500_000_000, description="rows times columns of a table")
    cell_chars: int = Field(65_536, description="characters of one value of a table")
    row_chars: int = Field(4 * MIB, description="characters of one row of a text file")
    table_bytes: int = Field(20 * 1024 * MIB, description="a table, unpacked")
    categories_max: int = Field(10_000, description="values of a category that is learned")
    label_chars: int = Field(256, description="characters of a label")
    name_chars: int = Field(256, description="characters of a name")
    model_bytes: int = Field(1024 * MIB, description="an exported model")
    samples: int = Field(1_000_000, description="items of one samples request")
    json_samples: int = Field(1_000, description="items of one samples request answered as JSON")
    job_samples: int = Field(1_000_000_000, description="items of one generation job")
    job_shards: int = Field(10_000, description="files of one generation job")
    grid_samples: int = Field(1_024, description="images in one grid")
    page_size: int = Field(200, description="resources in one page of a list")
    steps: int = Field(10_000_000, description="training steps of a job")
    queued_jobs: int = Field(10_000, description="jobs that wait at one time")
    webhooks: int = Field(20, description="webhooks of a tenant, besides those that jobs bring")


class Settings(BaseSettings):
    """Every variable starts with SEMBLANCE_; nested ones use two underscores.

    With nothing set, all state lies in one folder and no server is needed.
    """

    model_config = SettingsConfigDict(
        env_prefix="SEMBLANCE_", env_nested_delimiter="__", extra="ignore"
    )

    data_dir: Path = Field(Path("var"), description="the folder of the embedded default")
    database_url: str = Field("", description="SQLAlchemy URL; default: SQLite in `data_dir`")
    broker_url: SecretStr = Field(SecretStr(""), description="Redis URL; empty: jobs are polled")
    storage_url: str = Field("", description="file:// or s3://; default: a folder in `data_dir`")
    scratch_dir: Path | None = Field(None, description="local working files; default in `data_dir`")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    base_url: str = Field("", description="how clients reach the API; default: http://host:port")
    allowed_hosts: list[str] = Field(
        ["localhost", "127.0.0.1", "[::1]"], description="Host headers that are answered; * for all"
    )
    admin_key: SecretStr = Field(SecretStr(""), description="a first key, for containers")

    lease_seconds: float = Field(30.0, gt=0, description="a silent worker loses its job after this")
    heartbeat_seconds: float = Field(
        10.0, gt=0, description="how often a worker says that it lives"
    )
    sweep_seconds: float = Field(5.0, gt=0, description="how often overdue jobs are looked for")
    poll_seconds: float = Field(
        2.0, gt=0, description="how often a worker looks for jobs by itself"
    )
    step_timeout_seconds: float = Field(
        600.0, gt=0, description="a training step that takes longer hangs, unless all are as slow"
    )
    report_seconds: float = Field(1.0, gt=0, description="how often training reports its progress")
    checkpoint_seconds: float = Field(
        30.0, gt=0, description="how often `checkpoint.interval_steps: auto` saves"
    )
    shutdown_grace_seconds: float = Field(
        20.0, gt=0, description="time to checkpoint when told to stop"
    )
    publish_timeout_seconds: float = Field(2.0, gt=0, description="longest wait for the broker")
    ingest_timeout_seconds: float = Field(
        1_800.0, gt=0, description="longest validation of a dataset"
    )
    orphan_retention_seconds: float = Field(
        3_600.0, gt=0, description="files that nobody names go this long after their job has ended"
    )
    webhook_retention_seconds: float = Field(
        30 * 86_400.0, gt=0, description="how long the record of a webhook's message is kept"
    )
    max_worker_losses: int = Field(
        3, ge=1, description="worker losses in a row, with nothing saved"
    )

    worker_threads: int = Field(0, ge=0, description="torch threads of a worker; 0: one or two")
    worker_queues: list[str] = ["training", "generation", "evaluation"]
    worker_folder: Path | None = Field(None, description="set by a worker for its children")
    sampler_threads: int = Field(1, ge=1, description="torch threads of the sampler")
    model_cache_bytes: int = Field(1024 * MIB, ge=MIB, description="models kept in memory")
    sampler_concurrency: int = Field(256, ge=1, description="samples requests under way at once")
    batch_window_seconds: float = Field(
        0.002, ge=0, le=0.1, description="how long a batch that is not full waits for requests"
    )
    auto_evaluate: bool = Field(
        True, description="training jobs that do not say are followed by an evaluation"
    )
    webhook_allowed_networks: list[str] = Field(
        [], description="hosts and networks that webhooks may reach although they are not public"
    )
    webhook_allow_http: bool = Field(False, description="webhooks may be sent without TLS")
    allowed_output_uris: list[str] = Field(
        [], description="URLs (file://, s3://) under which generation jobs may leave their files"
    )
    min_free_disk_bytes: int = Field(256 * MIB, ge=0, description="below this, nothing is accepted")
    log_level: str = "INFO"

    limits: Limits = Limits()

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
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds")
        return self

    @property
    def scratch(self) -> Path:
        assert self.scratch_dir is not None  # noqa: S101 - fill_in sets it
        self.scratch_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.scratch_dir

    @property
    def training_threads(self) -> int:
        # Small networks, small batches: more threads would mostly wait for each other.
        return self.worker_threads or max(1, min(2, (os.cpu_count() or 1) // 2))


@lru_cache
def get_settings() -> Settings:
    return Settings()
