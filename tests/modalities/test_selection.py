"""Requested labels of a model."""

import pytest

from core.errors import UnknownLabel
from modalities.selection import count_labels

LABELS = ["Engineering", "Finance", "UA", "US"]
MANIFEST = {"labels": [{"name": name} for name in LABELS]}


@pytest.mark.parametrize(("name", "near"), [("Engineerin", "Engineering"), ("ua", "UA")])
def test_the_labels_that_resemble_an_unknown_one_are_suggested(name: str, near: str) -> None:
    with pytest.raises(UnknownLabel) as error:
        count_labels(MANIFEST, {name: 1})
    assert error.value.detail == f"The model has no label {name!r}. Did you mean {near!r}?"
    (field,) = error.value.field_errors
    assert field.message.endswith(f"Did you mean {near!r}?")
    assert field.allowed == (near,)


def test_an_unknown_label_without_a_similar_one_is_rejected_with_the_labels() -> None:
    with pytest.raises(UnknownLabel) as error:
        count_labels(MANIFEST, {"dog": 1})
    assert error.value.detail.endswith("The labels are 'Engineering', 'Finance', 'UA', 'US'.")
    assert error.value.field_errors[0].allowed == tuple(LABELS)
