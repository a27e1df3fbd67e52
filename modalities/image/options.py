"""Fields of requests and responses, and file formats, that only images have."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from core.request_fields import Label, RequestModel, Seed
from modalities.selection import LabelName
from models.augmentation.transform_ranges import TransformName

# Formats without a size limit, because they are written and sent in pieces. Jobs use the first one.
FILE_FORMATS = {
    "tar": "application/x-tar",
    "zip": "application/zip",
    "npz": "application/x-npz",
}
SAMPLE_FORMATS = {
    "png": "image/png",
    "zip": "application/zip",
    "npz": "application/x-npz",
    "tar": "application/x-tar",
    "json": "application/json",
}
# A strip is several images in one file: side by side in a PNG, or as the frames of a GIF.
STRIP_FORMATS = {"png": "image/png", "gif": "image/gif"}

PartName = Annotated[str, Field(min_length=1, max_length=1024)]
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
    folder_level: int | None = Field(
        None,
        ge=1,
        le=32,
        description="Images only: level of the folders that is the label, if labels are several "
        "folders deep, such as 1 for `Apple` in `Apple/Golden-Delicious`. Default: all levels.",
    )
    parts: (
        Annotated[dict[PartName, Literal["train", "test", "leave_out"]], Field(max_length=50)]
        | None
    ) = Field(
        None,
        description="Images only: use of folders in an archive: `train`, `test` (never trained on) "
        "or `leave_out`. Keys are names from `layout.parts`, or folders such as `old/scans`. "
        "Default: detected from their names.",
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


class LabelSource(BaseModel):
    """Values of `labels_from`, `label_column` and `folder_level` that give labels."""

    labels_from: str | None = Field(
        description="`folders`, `file_names`, `none` or the name of a file; null for the default: "
        "files next to the images, or the columns of Parquet files."
    )
    label_column: str | None = Field(description="Column of the labels; null for the detected one.")
    folder_level: int | None = Field(description="Level of the folders; null for all levels.")
    labels: int = Field(description="Number of labels, in a table among its first 2,000 rows.")
    examples: list[str] = Field(description="Some labels.")


class ImageLayout(BaseModel):
    """Layout that was recognized in an upload. `PATCH` of the dataset corrects it."""

    labels_from: str = Field(
        description="Source of the labels: `folders`, `file_names`, `webdataset`, `arrays`, "
        "`none`, or the suffix of the file that lists them."
    )
    parts: list[ImagePart] = Field(description="Parts of the upload, if it has some.")
    label_sources: list[LabelSource] = Field(
        description="Sources of labels that the upload offers. `PATCH` of the dataset chooses one."
    )
    ignored: list[IgnoredFiles] = Field(
        description="Files that were not used, by kind. Kinds that may describe the images come "
        "first."
    )


class PixelStatistics(BaseModel):
    mean: float = Field(description="Mean, from 0 to 255.")
    std: float = Field(description="Standard deviation.")
    min: int = Field(description="Smallest value.")
    max: int = Field(description="Largest value.")
    quartiles: list[int] = Field(description="First quartile, median and third quartile.")
    histogram: list[int] = Field(description="Number of values in each of 16 equal bins.")


class ImageProfileView(BaseModel):
    pixels: PixelStatistics | None = Field(
        None, description="Images only: statistics of all pixels of the training split."
    )
    by_label: dict[str, PixelStatistics] | None = Field(
        None, description="Images only: the same for each label."
    )


class ImageDatasetView(BaseModel):
    image: ImageShape | None = Field(None, description="Images only: their shape.")
    layout: ImageLayout | None = Field(
        None, description="Images only: the recognized layout of the upload."
    )


class TransformRequest(RequestModel):
    """One image transform and its strength."""

    name: TransformName = Field(
        description="Transform. `hue` and `saturation` require color images."
    )
    max_magnitude: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Largest change: degrees for `rotate` and `hue`, a probability for `flip`, a "
        "standard deviation (1 = from black to white) for `noise`, a fraction for the others. "
        "Default: a mild value for each transform.",
    )


class ImageAugmentationOptions(RequestModel):
    transforms: (
        Annotated[list[TransformRequest], Field(min_length=1, max_length=20)] | Literal["auto"]
    ) = Field(
        "auto",
        description="Images only: transforms of a real image, in this order. Default `auto`: a "
        "mild set without `flip`. Tables always use SMOTE or SMOTE-NC, which interpolate between "
        "a row and one of its nearest neighbors.",
    )


class ImageSelectionOptions(RequestModel):
    min_label_confidence: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Labeled images only: return only images whose label has at least this "
        "probability according to the model's own classifier. The counts stay exact: for each "
        "image, candidates are generated until one is accepted. Default: no filter.",
    )


class ImageOptions(RequestModel):
    truncation: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="Factor for the latent noise. Smaller values give more typical and less varied "
        "images. Default: 1 (no truncation).",
    )


class LatentPoint(RequestModel):
    """One image: the sample with this index and seed."""

    label: LabelName | None = Field(
        None, description="Label of the image; null for a model without labels."
    )
    seed: Seed = Field(description="Random seed.")
    index: Annotated[int, Field(ge=0, le=2**62)] = Field(
        0, description="Index of the sample in the sequence of the seed. Default: 0."
    )


class Interpolation(RequestModel):
    """A path from one image to another, through latent noise and labels."""

    start: LatentPoint = Field(alias="from", description="First image.")
    end: LatentPoint = Field(alias="to", description="Last image.")
    steps: Annotated[int, Field(ge=2, le=64)] = Field(
        16, description="Number of images, including both ends. Default: 16."
    )


class ImageSampleOptions(ImageSelectionOptions):
    image: ImageOptions = Field(ImageOptions(), description="Images only: further options.")
    interpolation: Interpolation | None = Field(
        None,
        description="Images only, instead of labels and counts: a path between two images, as a "
        "PNG strip or a GIF. Small images are enlarged by a whole factor.",
    )
    layout: Literal["grid"] | None = Field(
        None,
        description="Images only, as PNG: `grid` puts all images into one picture to look at. Each "
        "label starts a row with its name, and small images are enlarged by a whole factor. Other "
        "formats, such as `zip`, have the exact pixels. Default: a PNG has one image.",
    )


class ImageModelView(BaseModel):
    image: dict[str, int] | None = Field(
        None, description="Images only: height and width in pixels, and number of channels."
    )
