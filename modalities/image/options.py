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


class ImageShape(BaseModel):
    height: int = Field(description="Height in pixels.")
    width: int = Field(description="Width in pixels.")
    channels: int = Field(description="1 (gray) or 3 (RGB).")


class ImageDatasetView(BaseModel):
    image: ImageShape | None = Field(None, description="Images only: their shape.")


class TransformRequest(RequestModel):
    """One image transform and its strength."""

    name: Literal[
        "flip",
        "rotate",
        "shift",
        "scale",
        "hue",
        "saturation",
        "brightness",
        "contrast",
        "noise",
    ] = Field(description="Transform. `hue` and `saturation` require color images.")
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
