"""Datasets and uploads, as they cross HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.request_body import RequestModel
from app.schemas.tables import ColumnChange, ColumnName
from app.schemas.types import Label, Name, Tags
from core.tables import Dataset, DatasetState, Upload, UploadPart

Side = Annotated[int, Field(ge=1, le=8192)]


class DatasetMeta(RequestModel):
    """`meta` of a dataset that is being made."""

    name: Name | None = Field(None, description="default: the file's name")
    tags: Tags = {}
    modality: Literal["image", "tabular"] | None = Field(
        None, description="default: told by the file's content"
    )
    target: ColumnName | None = Field(
        None, description="of a table: the column whose values samples are asked for by"
    )
    exclude_columns: Annotated[list[ColumnName], Field(max_length=10_000)] = Field(
        [], description="of a table: columns that are not learned, and absent from samples"
    )
    columns: Annotated[list[ColumnChange], Field(max_length=10_000)] = Field(
        [],
        alias="schema",
        description="of a table: columns that are to be other than they look; see `PUT …/schema`",
    )
    class_names: list[Label] | dict[str, Label] | None = Field(
        None, description="names for numeric classes: a list by number, or {'0': 'T-shirt/top'}"
    )
    resize: Literal["crop", "pad", "stretch"] | None = Field(
        None, description="what to do with images of mixed sizes"
    )
    size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        None, description="[height, width] to resize to; default: the most common size"
    )


class DatasetFrom(DatasetMeta):
    """The JSON body of `POST /v1/datasets`: exactly one of `builtin` and `uploads`."""

    builtin: str | None = Field(
        None, description="a set that comes with the service: `digits`, or `circle`: points x, y"
    )
    radius: Annotated[float, Field(ge=1e-6, le=1e6)] | None = Field(
        None, description="of the circle; default 1"
    )
    points: Annotated[int, Field(ge=10, le=1_000_000)] | None = Field(
        None, description="of the circle; default 1000"
    )
    uploads: Annotated[list[str], Field(min_length=1, max_length=16)] | None = Field(
        None, description="completed uploads, such as the four files of MNIST"
    )


class DatasetPatch(RequestModel):
    name: Name | None = None
    tags: Tags | None = None


class LabelCount(BaseModel):
    name: str
    count: int = Field(description="items to train on")
    test_count: int = Field(description="items of the published test part, never trained on")


class ImageShape(BaseModel):
    height: int
    width: int
    channels: int


class TableShape(BaseModel):
    rows: int
    columns: int
    target: str | None


class DerivedFrom(BaseModel):
    """Of a set that an augmentation job made."""

    job: str
    dataset: str
    model: str | None
    items: dict[str, int] = Field(
        description="how many are real, transforms, model; see `provenance`"
    )


class DatasetView(BaseModel):
    id: str
    name: str
    modality: str
    state: DatasetState
    tags: dict[str, str]
    train_items: int | None = Field(description="images or rows to train on")
    test_items: int | None = Field(description="images of the published test part")
    image: ImageShape | None
    table: TableShape | None
    labels: list[LabelCount] | None = Field(description="of a table: the target's values")
    format: str | None = Field(description="what the upload was read as")
    bytes: int | None
    sha256: str | None = Field(description="of the normalised content")
    issues: dict[str, int] | None = Field(description="how many of each code; see `issues`")
    derived_from: DerivedFrom | None = Field(description="null: it was uploaded")
    error: dict[str, Any] | None
    created_at: datetime
    ready_at: datetime | None
    links: dict[str, str]

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetView":
        summary, ready = dataset.summary, dataset.state is DatasetState.READY
        path = f"/v1/datasets/{dataset.id}"
        links = {"self": path}
        if ready:
            links |= {
                part: f"{path}/{part}" for part in ("profile", "issues", "preview", "content")
            }
        if "provenance" in dataset.objects:
            links["provenance"] = f"{path}/provenance"
        if ready and dataset.modality == "tabular":
            links["schema"] = f"{path}/schema"
        return cls(
            id=dataset.id,
            name=dataset.name,
            modality=dataset.modality,
            state=dataset.state,
            tags=dataset.tags,
            train_items=summary.get("n_train"),
            test_items=summary.get("n_test"),
            image=ImageShape.model_validate(summary)
            if ready and dataset.modality == "image"
            else None,
            table=TableShape.model_validate(summary)
            if ready and dataset.modality == "tabular"
            else None,
            labels=summary.get("labels"),
            format=summary.get("format"),
            bytes=sum(part["bytes"] for part in dataset.objects.values()) if ready else None,
            sha256=summary.get("sha256"),
            issues={issue["code"]: issue["count"] for issue in summary["issues"]}
            if ready
            else None,
            derived_from=DerivedFrom.model_validate(summary["derived_from"])
            if "derived_from" in summary
            else None,
            error=dataset.error,
            created_at=dataset.created_at,
            ready_at=dataset.ready_at,
            links=links,
        )


class Issue(BaseModel):
    code: str
    severity: Literal["info", "warning", "error"]
    count: int
    examples: list[str]
    hint: str


class Issues(BaseModel):
    data: list[Issue]
    notes: list[str] = Field(description="what was ignored or changed while reading")


class NewUpload(RequestModel):
    filename: Name
    bytes: int | None = Field(None, ge=1, description="size of the whole, checked at the end")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="of the whole, checked when a dataset is made of it"
    )


class UploadPartView(BaseModel):
    number: int
    bytes: int
    sha256: str


class UploadView(BaseModel):
    id: str
    state: str
    filename: str
    bytes: int | None
    parts: list[UploadPartView]
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, upload: Upload, parts: list[UploadPart]) -> "UploadView":
        return cls(
            id=upload.id,
            state=upload.state.value,
            filename=upload.filename,
            bytes=upload.bytes,
            parts=[UploadPartView(number=p.number, bytes=p.bytes, sha256=p.sha256) for p in parts],
            created_at=upload.created_at,
            links={"self": f"/v1/uploads/{upload.id}"},
        )
