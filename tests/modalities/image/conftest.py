from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.reading import read_images
from modalities.image.upload.summary import ImageSummary


class Result(NamedTuple):
    summary: ImageSummary
    x: NDArray[np.uint8]
    y: NDArray[np.int32]

    @property
    def names(self) -> list[str | None]:
        """The label of each image."""
        return [None if code < 0 else self.summary.labels[code].name for code in self.y]

    def issue(self, code: str) -> dict[str, Any] | None:
        matches = [issue.to_dict() for issue in self.summary.issues if issue.code == code]
        return matches[0] if matches else None


Read = Callable[..., Result]
Reject = Callable[..., DatasetUnreadable]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(*files: SourceFile, limits: Limits | None = None, **options: Any) -> Result:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        summary = read_images(files, ImageOptions(**options), limits or Limits(), out)
        assert sorted(p.name for p in out.iterdir()) == ["preview.png", "x.npy", "y.npy"]
        return Result(summary, np.load(out / "x.npy"), np.load(out / "y.npy"))

    return read


@pytest.fixture
def reject(tmp_path: Path) -> Reject:
    """Read an upload that must be rejected and return the error.

    Every error is short and contains no path of the server. No unusable image is left out.
    """

    def reject(*files: SourceFile, limits: Limits | None = None, **options: Any) -> Any:
        options.setdefault("max_bad_share", 0)
        out = tmp_path / "refused"
        out.mkdir(exist_ok=True)
        with pytest.raises(DatasetUnreadable) as caught:
            read_images(files, ImageOptions(**options), limits or Limits(), out)
        problem = str(caught.value.to_problem())
        assert str(tmp_path) not in problem
        assert len(caught.value.field_errors) <= 20
        assert len(caught.value.detail) < 600
        return caught.value

    return reject
