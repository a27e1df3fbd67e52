"""A tokenizer as the JSON and the tensors of a checkpoint."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from models.tabular.autoregressive.exclusions import Exclusions
from models.tabular.categorical_columns import Arrays
from models.tabular.column_fitting import unpack_column
from models.tabular.constraints.declarations import Constraint
from models.tabular.identifiers.columns import IdColumn
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.tokenizer import Tokenizer

PREFIX = "tokenizer."  # of tensor names


def to_tensors(tokenizer: Tokenizer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the JSON and the tensors that `from_tensors` needs."""
    columns: list[dict[str, Any]] = []
    arrays: Arrays = {}
    for index, column in enumerate(tokenizer.columns):
        packed, column_arrays = column.pack()
        columns.append({"name": column.name, "layout": column.layout.to_json(), **packed})
        arrays |= {f"columns.{index}.{name}": array for name, array in column_arrays.items()}
    arrays["schema"] = np.frombuffer(tokenizer.arrow.serialize(), np.uint8).copy()
    for index, tokens in enumerate(tokenizer.fixed_combinations):
        arrays[f"fixed_combinations.{index}"] = tokens
    if tokenizer.hashes is not None:
        arrays["hashes"] = tokenizer.hashes
    excluded, excluded_arrays = tokenizer.exclusions.pack()
    arrays |= excluded_arrays
    metadata: dict[str, Any] = {
        "columns": columns,
        "id_columns": [{"name": each.name, **each.to_json()} for each in tokenizer.id_columns],
        "target_column": tokenizer.target_column,
        "constraints": [constraint.to_dict() for constraint in tokenizer.constraints],
        "coding": tokenizer.coding.pack(),
        **excluded,
    }
    if tokenizer.joined_texts:
        metadata["joined_texts"] = [joined.pack() for joined in tokenizer.joined_texts]
    return metadata, {f"{PREFIX}{name}": torch.from_numpy(array) for name, array in arrays.items()}


def from_tensors(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Tokenizer:
    """Load a tokenizer from the tensors of a file, which may hold other tensors, too."""
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    arrays = {name.removeprefix(PREFIX): tensor.numpy() for name, tensor in own.items()}
    arrow = pa.ipc.read_schema(pa.BufferReader(arrays["schema"].tobytes()))
    coding = RelationCoding.unpack(metadata["coding"])
    coded_arrow = coding.coded_schema(arrow)
    constraints = tuple(map(Constraint.from_dict, metadata["constraints"]))
    combinations = sum(constraint.kind == "fixed_combinations" for constraint in constraints)
    tokenizer = Tokenizer(
        arrow,
        tuple(
            unpack_column(
                packed, coded_arrow.field(packed["name"]).type, arrays, f"columns.{index}"
            )
            for index, packed in enumerate(metadata["columns"])
        ),
        tuple(
            IdColumn.from_json(packed, arrow.field(packed["name"]).type)
            for packed in metadata["id_columns"]
        ),
        metadata["target_column"],
        constraints,
        tuple(arrays[f"fixed_combinations.{index}"] for index in range(combinations)),
        arrays.get("hashes"),
        coding,
        tuple(map(JoinedText.unpack, metadata.get("joined_texts", ()))),
    )
    exclusions = Exclusions.unpack(metadata, arrays, tokenizer.step_sizes)
    return replace(tokenizer, exclusions=exclusions)
