"""Request and response bodies of datasets and uploads."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.schemas.problem import DatasetProblem
from core.request_fields import Name, RequestModel, Seed, Tags
from core.settings import get_settings
from core.tables import Dataset, DatasetState, Upload, UploadPart
from modalities import registry
from modalities.tabular.options import Row


@registry.extend("dataset_options")
class DatasetMeta(RequestModel):
    """`meta` of a new dataset."""

    name: Name | None = Field(
        None, description="Name of the dataset. Default: the file's name without its extension."
    )
    tags: Tags = {}
    modality: registry.ModalityName | None = Field(
        None, description="Kind of data. Default: detected from the file's content."
    )


class DatasetFrom(DatasetMeta):
    """The JSON body of `POST /v1/datasets`: exactly one of `builtin`, `uploads` and `url`."""

    builtin: str | None = Field(
        None,
        description="Dataset that is included in the service: `digits` (images) or `circle` (a "
        "table of points x, y).",
    )
    radius: Annotated[float, Field(ge=1e-6, le=1e6)] | None = Field(
        None, description="`circle` only: its radius. Default: 1."
    )
    points: Annotated[int, Field(ge=10, le=1_000_000)] | None = Field(
        None, description="`circle` only: number of points. Default: 1000."
    )
    uploads: Annotated[list[str], Field(min_length=1, max_length=16)] | None = Field(
        None, description="Ids of completed uploads, for example the four files of MNIST."
    )
    url: Annotated[str, Field(max_length=2_048)] | None = Field(
        None,
        description="Address of a file that the service fetches, on a host that the operator has "
        "allowed. The response is 202.",
    )


@registry.extend("update_options")
class DatasetPatch(RequestModel):
    name: Name | None = Field(None, description="New name. Default: unchanged.")
    tags: Tags | None = Field(None, description="New tags; replaces all. Default: unchanged.")


class LabelCount(BaseModel):
    name: str = Field(description="Label.")
    count: int = Field(description="Number of training items.")
    test_count: int = Field(description="Number of items in the test split, never trained on.")


class DerivedFrom(BaseModel):
    """Source of a dataset that an augmentation job created."""

    job: str = Field(description="Id of the augmentation job.")
    dataset: str = Field(description="Id of the dataset that was augmented.")
    model: str | None = Field(description="Id of the model that generated samples.")
    items: dict[str, int] = Field(
        description="Number of items by source (`real`, `transforms`, `model`). "
        "`/v1/datasets/{dataset_id}/provenance` describes each item."
    )


@registry.extend("dataset_view")
class DatasetView(BaseModel):
    id: str = Field(description="Dataset id (`ds_…`).")
    name: str = Field(description="Name of the dataset.")
    modality: str = Field(description="`image` or `tabular`.")
    state: DatasetState = Field(description="Only a `ready` dataset can be used.")
    tags: dict[str, str] = Field(description="Keys and values that the client chose.")
    train_items: int | None = Field(description="Number of images or rows to train on.")
    test_items: int | None = Field(description="Number of images or rows in the test split.")
    labels: list[LabelCount] | None = Field(
        description="Labels and their counts. For a table, the values of the target column."
    )
    format: str | None = Field(description="Detected format of the upload.")
    bytes: int | None = Field(description="Stored size in bytes.")
    sha256: str | None = Field(description="SHA-256 of the normalized content.")
    issues: dict[str, int] | None = Field(
        description="Number of occurrences by issue code. "
        "`/v1/datasets/{dataset_id}/issues` explains them."
    )
    derived_from: DerivedFrom | None = Field(
        description="Source of an augmented dataset; null for an uploaded one."
    )
    error: DatasetProblem | None = Field(description="Reason why the dataset failed.")
    created_at: datetime = Field(description="Time of creation.")
    ready_at: datetime | None = Field(description="Time at which the dataset became ready.")
    links: dict[str, str] = Field(description="Paths of related resources.")

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetView":
        summary, ready = dataset.summary, dataset.state is DatasetState.READY
        path = f"/v1/datasets/{dataset.id}"
        links = {
            "self": path,
            "jobs": f"/v1/jobs?dataset={dataset.id}",
            "models": f"/v1/models?dataset={dataset.id}",
        }
        if ready:
            links |= {
                part: f"{path}/{part}" for part in ("profile", "issues", "preview", "content")
            }
        if "provenance" in dataset.objects:
            links["provenance"] = f"{path}/provenance"
        fields: dict[str, Any] = {}
        modality = registry.installed().get(dataset.modality)
        if ready and modality is not None:
            fields = modality.describe_dataset(summary)
            links |= {part: f"{path}/{part}" for part in modality.dataset_links}
        return cls(
            id=dataset.id,
            name=dataset.name,
            modality=dataset.modality,
            state=dataset.state,
            tags=dataset.tags,
            train_items=summary.get("n_train"),
            test_items=summary.get("n_test"),
            labels=summary.get("labels"),
            format=summary.get("format"),
            bytes=dataset.stored_bytes if ready else None,
            sha256=summary.get("sha256"),
            issues={issue["code"]: issue["count"] for issue in summary["issues"]}
            if ready
            else None,
            derived_from=DerivedFrom.model_validate(summary["derived_from"])
            if "derived_from" in summary
            else None,
            error=None if dataset.error is None else DatasetProblem.model_validate(dataset.error),
            created_at=dataset.created_at,
            ready_at=dataset.ready_at,
            links=links,
            **fields,
        )


@registry.extend("profile_view")
class DatasetProfile(BaseModel):
    """Item counts and statistics of a dataset. What its modality does not have is omitted."""

    train_items: int = Field(description="Number of images or rows to train on.")
    test_items: int = Field(description="Number of images or rows in the test split.")
    labels: list[LabelCount] = Field(description="Labels and their counts.")


class DescendantsView(BaseModel):
    datasets: list[str] = Field(description="Ids of the dataset and of those derived from it.")
    jobs: list[str] = Field(description="Ids of jobs that used these datasets and models.")
    models: list[str] = Field(description="Ids of models that were trained on these datasets.")


class DatasetItem(BaseModel):
    index: int = Field(description="Index of the item, counted from 0.")
    label: str | None = Field(description="Label; null without one.")
    split: Literal["train", "test"] = Field(description="Split that it belongs to.")
    url: str = Field(description="Path of its picture.")


class DatasetItems(BaseModel):
    data: list[DatasetItem] = Field(description="Items of this page.")
    offset: int = Field(description="Number of items before this page.")
    total: int = Field(description="Number of items that were selected.")
    has_more: bool = Field(description="Whether there are further items.")


class DatasetRow(BaseModel):
    index: int = Field(description="Index of the row in the dataset, counted from 0.")
    values: Row = Field(description="Values by column name.")


class DatasetRows(BaseModel):
    data: list[DatasetRow] = Field(description="Rows of this page.")
    offset: int = Field(description="Number of rows before this page.")
    total: int = Field(description="Number of rows that satisfy the conditions.")
    has_more: bool = Field(description="Whether there are further rows.")


@registry.extend("augmentation_options")
class TransformsPreview(RequestModel):
    """Transforms to try on some items."""

    seed: Seed = Field(0, description="Random seed. Default: 0.")


class Issue(BaseModel):
    code: str = Field(description="Stable code of the issue.")
    severity: Literal["info", "warning", "error"] = Field(description="How serious it is.")
    count: int = Field(description="Number of occurrences.")
    examples: list[str] = Field(
        description="Some occurrences, as many as `examples` of the request allows."
    )
    hint: str = Field(description="Explanation and remedy.")


class Issues(BaseModel):
    data: list[Issue] = Field(description="Issues in the data.")
    notes: list[str] = Field(description="Content that was ignored or changed while reading.")


class NewUpload(RequestModel):
    filename: Name = Field(
        description="Name of the file; its extension helps to detect the format."
    )
    bytes: int | None = Field(
        None,
        ge=1,
        description="Size of the whole file in bytes, checked on completion. Default: unchecked.",
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None,
        description="SHA-256 of the whole file in hexadecimal, checked when a dataset is created "
        "from it. Default: unchecked.",
    )


class UploadPartView(BaseModel):
    number: int = Field(description="Number of the part, from 1.")
    bytes: int = Field(description="Size of the part in bytes.")
    sha256: str = Field(description="SHA-256 of the part in hexadecimal.")


class UploadView(BaseModel):
    id: str = Field(description="Upload id (`upl_…`).")
    state: str = Field(description="`pending` or `completed`.")
    filename: str = Field(description="Name of the file.")
    bytes: int | None = Field(
        description="Announced size in bytes, or the actual size after completion."
    )
    parts: list[UploadPartView] = Field(description="Parts that were received, by number.")
    created_at: datetime = Field(description="Time of creation.")
    expires_at: datetime = Field(
        description="Time at which it is deleted unless a part arrives or it becomes a dataset."
    )
    links: dict[str, str] = Field(description="Paths of related resources.")

    @classmethod
    def of(cls, upload: Upload, parts: list[UploadPart]) -> "UploadView":
        return cls(
            id=upload.id,
            state=upload.state.value,
            filename=upload.filename,
            bytes=upload.bytes,
            parts=[UploadPartView(number=p.number, bytes=p.bytes, sha256=p.sha256) for p in parts],
            created_at=upload.created_at,
            expires_at=upload.updated_at
            + timedelta(seconds=get_settings().upload_retention_seconds),
            links={"self": f"/v1/uploads/{upload.id}"},
        )
