"""Fields of requests and responses that only images have."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from core.request_fields import Label, RequestModel

Side = Annotated[int, Field(ge=1, le=8192)]


class ImageDatasetOptions(RequestModel):
    class_names: list[Label] | dict[str, Label] | None = Field(
        None,
        description="Images only: names of numeric classes, as a list by class number or as an "
        'object such as `{"0": "T-shirt/top"}`. Default: the numbers.',
    )
    resize: Literal["crop", "pad", "stretch"] | None = Field(
        None,
        description="Images only: how to resize images of different or unsupported sizes. "
        "Default: such images are rejected.",
    )
    size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="Images only: `[height, width]` in pixels to resize to. Default: the most "
        "common size.",
    )
    labels_from: Annotated[str, Field(max_length=1024)] | None = Field(
        None,
        description="Images only: source of the labels. `folders`, `file_names` (such as "
        "`cat.0.jpg`), `none`, or the name of a file in the archive that lists labels. Default: "
        "the first that applies of a file with labels, files next to the images, and folders.",
    )
    label_column: Annotated[str, Field(max_length=256)] | None = Field(
        None,
        description="Images only: column of the labels, if a file lists them. Default: detected.",
    )
    background: Annotated[str, Field(max_length=64)] = Field(
        "white",
        description="Images only: color behind transparent pixels, as a name or `#rrggbb`.",
    )
    max_bad_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Images only: share of images that may be left out because they are damaged or "
        "unsupported; at least one image, unless it is 0. An issue names them.",
    )
    name_encoding: Annotated[str, Field(max_length=32)] | None = Field(
        None,
        description="Images only: encoding of the names in a zip that are not UTF-8, such as "
        "`cp1252` or `shift_jis`. Default: guessed.",
    )


class ImageShape(BaseModel):
    height: int = Field(description="Height in pixels.")
    width: int = Field(description="Width in pixels.")
    channels: int = Field(description="1 (gray) or 3 (RGB).")


class ImagePart(BaseModel):
    name: str = Field(description="Folder or array, such as `seg_train`.")
    train: int = Field(description="Number of its images to train on.")
    test: int = Field(description="Number of its images in the test split.")
    left_out: int = Field(description="Number of its images without a label, which are not used.")


class IgnoredFiles(BaseModel):
    kind: str = Field(description="Suffix of the files, or `hidden files`.")
    files: int = Field(description="Number of files.")
    example: str = Field(description="Name of one file.")


class ImageLayout(BaseModel):
    """What was recognized in an upload. `meta` of a new dataset can correct it."""

    labels_from: str = Field(
        description="Source of the labels: `folders`, `file_names`, `webdataset`, `arrays`, "
        "`none`, or the suffix of the file that lists them."
    )
    parts: list[ImagePart] = Field(description="Parts of the upload, if it has some.")
    ignored: list[IgnoredFiles] = Field(
        description="Files that were not used, by kind. Kinds that may describe the images come "
        "first."
    )


class ImageDatasetView(BaseModel):
    image: ImageShape | None = Field(None, description="Images only: their shape.")
    layout: ImageLayout | None = Field(
        None, description="Images only: the recognized layout of the upload."
    )
