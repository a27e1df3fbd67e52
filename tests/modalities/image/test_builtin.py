"""Datasets that ship with the service."""

from pathlib import Path

import numpy as np
import pytest

from core.datasets import builtin
from core.errors import ValidationFailed
from tests.modalities.image.conftest import Read


def test_digits_are_a_dataset_without_a_test_split(read: Read) -> None:
    (source,) = builtin.get_digits()
    assert source.path.stat().st_size < 60_000
    summary, x, y = read(source)
    assert (summary.height, summary.width, summary.channels) == (8, 8, 1)
    assert (summary.n_train, summary.n_test) == (1_797, 0)
    assert [label.name for label in summary.labels] == [str(i) for i in range(10)]
    assert summary.issues == ()
    assert set(np.unique(x)) == {round(value * 255 / 16) for value in range(17)}
    assert y[:10].tolist() == list(range(10))


def test_every_builtin_dataset_names_its_source_and_license() -> None:
    readme = (Path(builtin.__file__).parent / "README.md").read_text()
    for name in builtin.NAMES:
        assert name in readme
    assert "CC BY 4.0" in readme
    assert "Kaynak" in readme


def test_error_for_an_unknown_builtin_dataset_lists_the_valid_names() -> None:
    with pytest.raises(ValidationFailed) as caught:
        builtin.check_name("../secrets")
    assert caught.value.field_errors[0].allowed == builtin.NAMES
    assert "digits" in caught.value.detail
