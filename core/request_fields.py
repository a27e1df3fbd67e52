"""Base class of request bodies, and field types that several of them share."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from core import model_registry
from core.text import is_name


class RequestModel(BaseModel):
    """Base class of every request body: unknown fields and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class NoOptions(RequestModel):
    """Options where there are none."""


def _validate_name(text: str) -> str:
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise ValueError("must not be blank")
    return _validate_text(text)


def _validate_text(text: str) -> str:
    if not is_name(text):
        raise ValueError("must not contain control characters")
    return text


def _validate_model_name(text: str) -> str:
    text = unicodedata.normalize("NFC", text).strip()
    if not model_registry.NAME.fullmatch(text):  # also rejects what other names must not have
        raise ValueError(model_registry.NAME_RULE)
    return text


Name = Annotated[
    str, StringConstraints(min_length=1, max_length=256), AfterValidator(_validate_name)
]
ModelName = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(_validate_model_name)
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Tags = Annotated[
    dict[
        Annotated[
            str, StringConstraints(min_length=1, max_length=64), AfterValidator(_validate_text)
        ],
        Annotated[str, StringConstraints(max_length=256), AfterValidator(_validate_text)],
    ],
    Field(max_length=16, description="Up to 16 keys and values of your choice. Default: none."),
]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
