"""Files of tabular models: their networks, and the check of imported ones in a sandbox process.

The weights are loaded and sampled from once, as the service does later, in a process where a
hostile file can do no harm.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from core.datasets.sandbox import run_in_sandbox
from core.errors import ValidationFailed
from modalities.sampling import IMPORT_TIMEOUT_S, WeightsFile, check_finite
from modalities.tabular.arrow_types import to_output_type
from modalities.tabular.formatting import format_values, to_json_values
from modalities.tabular.schema import Column
from modalities.tabular.type_casting import arrow_type

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.tabular.settings import TableSettings
    from models.tabular.tokenizer import Tokenizer


IMPORT_ROWS = 1_024  # that are generated to check an imported model
MAX_ROW_BYTES = 128 * 1024  # on average; names and values of hostile models may be larger


class ManifestColumn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=1_024)]
    type: Literal["integer", "number", "category", "boolean", "datetime", "time", "duration", "id"]
    nullable: bool
    decimals: Annotated[int, Field(ge=0, le=18)] | None
    format: Annotated[str, Field(max_length=64)] | None
    exclude: Literal[False]
    arrow: Annotated[str, Field(max_length=128)] | None
    missing: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    domain: dict[str, Any] | None

    @property
    def column(self) -> Column:
        return Column(**self.model_dump(exclude={"domain"}))


class ManifestCsv(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    delimiter: Annotated[str, Field(min_length=1, max_length=1)]
    quote: Annotated[str, Field(min_length=1, max_length=1)]
    escape: Annotated[str, Field(max_length=1)]


class TableManifest(BaseModel):
    """Part of a model's manifest that only tables have."""

    model_config = ConfigDict(extra="ignore", strict=True)

    target_column: str | None = None
    columns: list[ManifestColumn]
    csv: ManifestCsv | None = None


def check_import(manifest: Mapping[str, Any], weights: Path) -> None:
    expected = TableManifest.model_validate(manifest)
    actual = run_in_sandbox(
        "modalities.tabular.model_file:validate_weights",
        WeightsFile(path=weights),
        IMPORT_TIMEOUT_S,
    )
    if {c.name: str(arrow_type(c.column)) for c in expected.columns} != actual["columns"]:
        raise ValidationFailed(
            "the weights generate different columns than the model manifest lists."
        )
    if expected.target_column != actual["target_column"]:
        raise ValidationFailed(
            "the weights have a different target column than the model manifest."
        )
    for column in expected.columns:
        try:  # the format string is untrusted, so it is tested with one value
            value = pa.array([0], pa.int64()).cast(arrow_type(column.column))
            format_values(value, column.column).to_pylist()
            to_json_values(value, column.column)
            to_output_type(value, column.column)
        except (pa.ArrowException, ValueError) as error:
            raise ValidationFailed(
                "the model manifest has a column whose `format` or `arrow` cannot be applied."
            ) from error


def validate_weights(weights: WeightsFile) -> dict[str, Any]:
    """Generate a batch; return the target column and the types of the columns.

    Raises:
        ValidationFailed: Weights are not finite, or rows are too large.
    """
    from models.checkpoint import unpack  # torch is slow to load
    from models.tabular.sampling import TableSampler

    tensors, header = unpack(weights.path)
    check_finite(tensors)
    sampler = TableSampler.load(tensors, header)
    rows = sampler.sample(0, np.arange(IMPORT_ROWS)).rows
    if rows.nbytes > MAX_ROW_BYTES * IMPORT_ROWS:
        raise ValidationFailed(f"the weights generate rows of more than {MAX_ROW_BYTES} bytes.")
    return {
        "target_column": sampler.tokenizer.target_column,
        "columns": {field.name: str(field.type) for field in rows.schema},
    }


def describe_networks(path: Path) -> list[Any]:
    from models.architecture import describe_networks  # torch is slow to load
    from models.checkpoint import unpack
    from models.tabular.settings import TableSettings
    from models.tabular.tokenizer_tensors import from_tensors

    tensors, header = unpack(path)
    tokenizer = from_tensors(header["tokenizer"], tensors)
    settings = TableSettings.from_dict(header["hyperparameters"])
    return describe_networks(_build_networks(tokenizer, settings, tensors))


def _build_networks(
    tokenizer: "Tokenizer", settings: "TableSettings", tensors: Mapping[str, "Tensor"]
) -> "dict[str, nn.Module]":
    """Build the networks in their training layout; a TableSampler rearranges the weights."""
    from models.tabular.autoregressive.networks import build_critic, build_generator
    from models.tabular.gan import networks as gan_networks

    networks: dict[str, nn.Module] = {"generator": build_generator(tokenizer, settings)}
    if settings.architecture == "gan":
        networks["generator"] = gan_networks.Generator(
            gan_networks.RowFeaturizer(tokenizer), settings
        )
    if any(name.startswith("critic.") for name in tensors):
        networks["critic"] = build_critic(tokenizer, settings)
    return networks
