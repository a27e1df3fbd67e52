"""Augmentation of tables by SMOTE: when it is possible, and with which models."""

from core.settings import get_settings
from modalities.augmentation import AugmentationRules, Json
from modalities.tabular.schema import ORDERED_TYPES, Schema


def augmentation_rules(summary: Json) -> AugmentationRules:
    """Return the rules of a dataset with this summary; see modalities.base.Augmentation."""
    limits = get_settings().limits
    columns = Schema.from_dict(summary).columns
    warnings = {}
    if not any(column.learned and column.type in ORDERED_TYPES for column in columns):
        warnings["no_numeric_columns"] = (
            "SMOTE cannot interpolate tables with categorical columns only. Most rows from "
            "transforms will duplicate real rows."
        )
    return AugmentationRules(
        transforms=(),
        item_limits=(limits.rows_min, limits.rows_max),
        transform_warnings=warnings,
    )


def samples_fit(manifest: Json, summary: Json) -> bool:
    """Return True if a model's samples have the columns and the target of the dataset."""
    schema = Schema.from_dict(summary)
    columns = {(column.name, column.type) for column in schema.columns if not column.exclude}
    sampled_columns = {(column["name"], column["type"]) for column in manifest["columns"]}
    return (manifest["target_column"], sampled_columns) == (schema.target, columns)
