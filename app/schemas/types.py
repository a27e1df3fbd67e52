"""Kinds of text and numbers that several bodies share."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from core import model_registry


def _name(text: str) -> str:
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise ValueError("is blank")
    # Cc control, Cf format (direction overrides, zero width), Cs surrogates, Zl/Zp line ends
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in text):
        raise ValueError("holds a control character")
    return text


def _model_name(text: str) -> str:
    text = _name(text)
    if not model_registry.NAME.fullmatch(text):
        raise ValueError("letters, digits, blanks, dots, dashes and underscores only")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_name)]
ModelName = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(_model_name)
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Tags = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=256)],
    ],
    Field(max_length=16),
]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
