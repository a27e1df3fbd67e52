"""Limits of requests, datasets, jobs and tenants.

The process that reads an upload imports them without the settings, which are slow to load.
"""

from pydantic import BaseModel, Field

MIB = 1024 * 1024


class Limits(BaseModel):
    """Limits per request, dataset, job and tenant. `GET /v1` lists them."""

    json_bytes: int = Field(MIB, description="Maximum bytes of a JSON body.")
    upload_bytes: int = Field(
        5 * 1024 * MIB, description="Maximum bytes of one uploaded file, in one or several parts."
    )
    upload_part_bytes: int = Field(
        256 * MIB, description="Maximum bytes of one part of a resumable upload."
    )
    upload_parts: int = Field(10_000, description="Maximum parts of one resumable upload.")
    sync_dataset_bytes: int = Field(
        64 * MIB,
        description="Maximum bytes of an upload that is validated before the response. Larger "
        "uploads are answered with 202.",
    )
    archive_entries: int = Field(1_100_000, description="Maximum files in one archive.")
    archive_entry_bytes: int = Field(
        50 * MIB, description="Maximum uncompressed bytes of one file in an archive."
    )
    archive_bytes: int = Field(
        20 * 1024 * MIB, description="Maximum uncompressed bytes of an archive."
    )
    archive_ratio: int = Field(
        100, description="Maximum compression ratio of an archive and of each file in it."
    )
    image_side: int = Field(8_192, description="Maximum width or height of an uploaded image.")
    image_pixels: int = Field(40_000_000, description="Maximum pixels of an uploaded image.")
    image_size_min: int = Field(8, description="Minimum pixels on a side of a training image.")
    image_size_max: int = Field(256, description="Maximum pixels on a side of a training image.")
    images_min: int = Field(10, description="Minimum images in a dataset.")
    images_max: int = Field(1_000_000, description="Maximum images in a dataset.")
    classes_max: int = Field(1_000, description="Maximum labels of a dataset.")
    rows_min: int = Field(5, description="Minimum rows of a table.")
    rows_max: int = Field(10_000_000, description="Maximum rows of a table.")
    columns_max: int = Field(2_000, description="Maximum columns of a table.")
    cells_max: int = Field(500_000_000, description="Maximum rows times columns of a table.")
    cell_chars: int = Field(65_536, description="Maximum characters of one value of a table.")
    row_chars: int = Field(4 * MIB, description="Maximum characters of one row of a text file.")
    table_bytes: int = Field(20 * 1024 * MIB, description="Maximum uncompressed bytes of a table.")
    categories_max: int = Field(
        10_000, description="Maximum distinct values of a categorical column."
    )
    label_chars: int = Field(256, description="Maximum characters of a label.")
    column_name_chars: int = Field(1_024, description="Maximum characters of a column name.")
    model_bytes: int = Field(1024 * MIB, description="Maximum bytes of an imported model archive.")
    samples: int = Field(1_000_000, description="Maximum items of one samples request.")
    json_samples: int = Field(
        1_000, description="Maximum items of one samples request with a JSON response."
    )
    job_samples: int = Field(1_000_000_000, description="Maximum items of one generation job.")
    job_shards: int = Field(10_000, description="Maximum files of one generation job.")
    grid_samples: int = Field(1_024, description="Maximum images in one grid.")
    page_size: int = Field(200, description="Maximum resources in one page of a list.")
    steps: int = Field(10_000_000, description="Maximum training steps of a job.")
    queued_jobs: int = Field(10_000, description="Maximum queued jobs of all tenants.")
    webhooks: int = Field(
        20, description="Maximum webhooks of a tenant, not counting webhooks of single jobs."
    )
