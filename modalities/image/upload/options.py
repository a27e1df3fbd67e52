"""Client options for reading images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.datasets.errors import printable, unreadable_error
from core.limits import Limits

ResizeMode = Literal["crop", "pad", "stretch"]
PartUse = Literal["train", "test", "leave_out"]
DEFAULT_MAX_BAD_SHARE = 0.05
RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)


@dataclass(frozen=True)
class ImageOptions:
    """Client options for reading images.

    Attributes:
        resize: how to bring all images to one size; None rejects images of several sizes.
            "crop" scales an image to cover the size and keeps the center, "pad" scales it to fit
            and fills the rest with the median color of its border, "stretch" scales height and
            width independently.
        size: (height, width) of the resized images. By default the most common size, if at least
            a quarter of the images have it, otherwise the median height and width; both are scaled
            down to at most 128 pixels per side.
        class_names: names for the labels in the files: a mapping, or a list by index.
        labels_from: "folders", "file_names", "none", or the name of a file in the archive that
            lists labels. None chooses.
        label_column: the column of that file that holds the labels. None chooses.
        folder_level: the level of the folders that is the label, from 1. None joins all levels.
        parts: use of folders by name: "train", "test" or "leave_out". None detects it.
        background: the color behind transparent pixels, as a name or #rrggbb.
        max_bad_share: share of the images that may be unusable and are left out; at least one
            image, unless it is 0.
        name_encoding: encoding of names in a zip that are not UTF-8. None guesses.
    """

    resize: ResizeMode | None = None
    size: tuple[int, int] | None = None
    class_names: Mapping[str, str] | Sequence[str] | None = None
    labels_from: str | None = None
    label_column: str | None = None
    folder_level: int | None = None
    parts: Mapping[str, PartUse] | None = None
    background: str = "white"
    max_bad_share: float = DEFAULT_MAX_BAD_SHARE
    name_encoding: str | None = None

    def max_bad(self, count: int) -> int:
        """Return how many of `count` images may be left out because they cannot be used."""
        return max(1, int(self.max_bad_share * count)) if self.max_bad_share else 0

    def reject(self, *names: str, format: str) -> None:
        """Raise DatasetUnreadable if one of the options is set; they do not apply to the format."""
        for name in names:
            if getattr(self, name) is not None:
                message = f"`{name}` does not apply to {format}."
                raise unreadable_error("option_not_applicable", message, pointer=f"/meta/{name}")

    def check(self, limits: Limits) -> None:
        """Raise DatasetUnreadable if an option is invalid."""
        if self.resize is not None and self.resize not in RESIZE_MODES:
            message = f"`resize` must be one of {', '.join(RESIZE_MODES)}."
            raise unreadable_error("resize_unknown", message, pointer="/meta/resize")
        self._check_background()
        self._check_name_encoding()
        if self.size is None:
            return
        minimum, maximum = limits.image_size_min, limits.image_size_max
        valid = [side for side in self.size if isinstance(side, int) and minimum <= side <= maximum]
        if len(self.size) != 2 or len(valid) != 2:
            message = (
                f"`size` must be [height, width], each between {minimum} and {maximum} pixels."
            )
            raise unreadable_error("size_out_of_range", message, pointer="/meta/size")
        if self.resize is None:
            message = f"`size` requires `resize`: one of {', '.join(RESIZE_MODES)}."
            raise unreadable_error("resize_needed", message, pointer="/meta/resize")

    def _check_background(self) -> None:
        from PIL import ImageColor  # slow to import, and options are checked in the sandbox only

        try:
            ImageColor.getrgb(self.background)
        except ValueError as error:
            message = (
                f"`background` {printable(self.background)!r} is not a color. Send a name such as "
                '"black", or "#rrggbb". A fourth channel for transparency is not supported.'
            )
            raise unreadable_error(
                "background_unknown", message, pointer="/meta/background"
            ) from error

    def _check_name_encoding(self) -> None:
        try:
            b"a".decode(self.name_encoding or "utf-8")
        except LookupError as error:
            message = f"`name_encoding` {printable(str(self.name_encoding))!r} is not an encoding."
            raise unreadable_error(
                "name_encoding_unknown", message, pointer="/meta/name_encoding"
            ) from error
