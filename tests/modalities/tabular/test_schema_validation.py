"""Client overrides of the inferred schema."""

from typing import Any

import pytest

from core.errors import ValidationFailed
from core.limits import Limits
from modalities.tabular.upload.reading import update_table_schema
from modalities.tabular.upload.schema_overrides import ColumnOverride, SchemaOverrides
from tests.modalities.tabular.conftest import Read, Reject
from tests.modalities.tabular.factories import build_csv

ROWS = {
    "zip": ["01067", "10115", "01067", "80331", "10115"],
    "n": [1, 2, 3, 2, 1],
    "f": ["1.50", "2.25", "3.00", "", "1.50"],
    "yn": ["Yes", "No", "Yes", "", "No"],
    "day": ["01/02/2021", "03/04/2021", "05/06/2021", "07/08/2021", "09/10/2021"],
    "flag": ["true", "false", "true", "false", "true"],
    "w": ["1", "2", "x", "2", "1"],
}


def override(name: str, **fields: Any) -> tuple[ColumnOverride, ...]:
    return (ColumnOverride(name, **fields),)


@pytest.mark.parametrize(
    ("name", "fields", "values", "shown"),
    [
        ("zip", {"type": "integer"}, 1067, 1067),
        ("n", {"type": "category"}, "1", 1),
        ("n", {"type": "number"}, 1.0, 1.0),
        ("n", {"type": "number", "decimals": 3}, 1.0, 1.0),
        ("n", {"type": "id"}, "1", "1"),
        ("f", {"type": "category"}, "1.50", "1.50"),
        ("yn", {"type": "boolean"}, True, True),
        ("flag", {"type": "category"}, "true", "true"),
        ("flag", {"type": "integer"}, 1, 1),
        ("day", {"type": "category"}, "01/02/2021", "01/02/2021"),
    ],
)
def test_column_type_can_be_overridden(
    name: str, fields: Any, values: object, shown: object, read: Read
) -> None:
    table = read(build_csv(ROWS), columns=override(name, **fields))
    assert table[name].type == fields["type"]
    assert (table.values(name)[0], table.preview(name)[0]) == (values, shown)
    assert table[name].nullable == ("" in ROWS[name])


def test_column_overridden_as_text_is_excluded(read: Read) -> None:
    assert read(build_csv(ROWS), columns=override("w", type="text"))["w"].exclude


def test_missing_value_markers_do_not_prevent_a_type_override(read: Read) -> None:
    rows = build_csv({"zip": ["01067", "NA", "", "80331", "inf"], "n": [1, 2, 3, 2, 1]})
    table = read(rows, columns=override("zip", type="integer"))
    assert table.values("zip") == [1067, None, None, 80331, None]
    assert table["zip"].nullable


def test_decimals_override_rounds_the_preview(read: Read) -> None:
    rows = build_csv({"f": ["1.256", "2.5", "3.04", "4.96", "5"], "n": [1, 2, 3, 2, 1]})
    table = read(rows, columns=override("f", decimals=1))
    assert table.preview("f") == [1.3, 2.5, 3.0, 5.0, 5.0]


def test_boolean_override_keeps_the_words_of_the_data(read: Read) -> None:
    assert read(build_csv(ROWS), columns=override("yn", type="boolean"))["yn"].format == "No|Yes"


def test_format_override_resolves_an_ambiguous_date(read: Read) -> None:
    table = read(build_csv(ROWS), columns=override("day", format="%m/%d/%Y"))
    assert table["day"].format == "%m/%d/%Y"
    from_category = read(
        build_csv(ROWS), columns=override("day", type="datetime", format="%m/%d/%Y")
    )
    assert from_category["day"] == table["day"]
    assert str(table.values("day")[0].date()) == "2021-01-02"


def test_overrides_that_name_all_columns_set_their_order(read: Read) -> None:
    names = sorted(ROWS)
    table = read(build_csv(ROWS), columns=tuple(ColumnOverride(name) for name in names))
    assert table.summary.schema.names == names
    assert list(read(build_csv(ROWS), columns=override("w")).types) == list(ROWS)


def test_excluded_columns_are_absent_from_the_training_data(read: Read) -> None:
    table = read(build_csv(ROWS), exclude_columns=("zip", "w"), columns=override("n", exclude=True))
    assert [c.name for c in table.summary.schema.columns if c.exclude] == ["zip", "n", "w"]
    with pytest.raises(KeyError):
        table.values("zip")


@pytest.mark.parametrize(
    ("overrides", "code", "pointer"),
    [
        ({"columns": override("w", type="number")}, "type_mismatch", "/meta/schema/0/type"),
        ({"columns": override("zip", type="boolean")}, "type_mismatch", "/meta/schema/0/type"),
        ({"columns": override("f", type="integer")}, "type_mismatch", "/meta/schema/0/type"),
        ({"columns": override("n", type="datetime")}, "type_mismatch", "/meta/schema/0/type"),
        ({"columns": override("f", nullable=False)}, "has_missing", "/meta/schema/0/nullable"),
        ({"columns": override("day", format="%x")}, "format_unknown", "/meta/schema/0/format"),
        ({"columns": override("n", format=",")}, "format_unknown", "/meta/schema/0/format"),
        ({"columns": override("n", decimals=2)}, "not_allowed", "/meta/schema/0/decimals"),
        (
            {"columns": override("w", type="text", exclude=False)},
            "free_text",
            "/meta/schema/0/exclude",
        ),
        ({"columns": override("nn")}, "unknown_column", "/meta/schema/0/name"),
        ({"columns": override("n") + override("n")}, "duplicate_column", "/meta/schema/1/name"),
        ({"exclude_columns": ("x",)}, "unknown_column", "/meta/exclude_columns/0"),
        ({"target": "ww"}, "unknown_column", "/meta/target"),
        ({"target": "w", "exclude_columns": ("w",)}, "target_not_learned", "/meta/target"),
        ({"exclude_columns": tuple(ROWS)}, "nothing_to_learn", "/meta/schema"),
    ],
)
def test_overrides_that_the_values_do_not_allow_are_rejected_by_field(
    overrides: Any, code: str, pointer: str, reject: Reject
) -> None:
    error = reject(build_csv(ROWS), **overrides)
    assert (error.code, error.field_errors[0].pointer) == (code, pointer)
    assert type(error) is ValidationFailed
    assert "x" not in error.detail.split() or code != "type_mismatch"  # no value of the data


def test_a_single_column_without_samples_suggests_the_delimiter(reject: Reject) -> None:
    error = reject(build_csv({"n": ROWS["n"]}), exclude_columns=("n",))
    assert error.code == "nothing_to_learn"
    assert "`read.delimiter`" in error.field_errors[0].message


def test_error_for_an_unknown_column_suggests_the_closest_name(reject: Reject) -> None:
    assert reject(build_csv(ROWS), target="flog").field_errors[0].allowed == ("flag",)


def test_category_target_has_labels(read: Read) -> None:
    table = read(build_csv(ROWS), target="w")
    assert table.summary.labels == (
        {"name": "1", "count": 2, "test_count": 0},
        {"name": "2", "count": 2, "test_count": 0},
        {"name": "x", "count": 1, "test_count": 0},
    )


def test_boolean_target_has_the_words_of_the_data_as_labels(read: Read) -> None:
    table = read(build_csv(ROWS), target="yn", columns=override("yn", type="boolean"))
    assert [(label["name"], label["count"]) for label in table.summary.labels] == [
        ("No", 2),
        ("Yes", 2),
    ]


def test_integer_target_with_few_values_is_a_category_unless_overridden(read: Read) -> None:
    table = read(build_csv(ROWS), target="n")
    assert (table["n"].type, table["n"].format) == ("category", "integer")
    assert [label["name"] for label in table.summary.labels] == ["1", "2", "3"]
    assert table.preview("n")[0] == 1
    overridden = read(build_csv(ROWS), target="n", columns=override("n", type="integer"))
    assert overridden["n"].type == "integer"
    assert overridden.summary.labels == ()


def test_category_target_above_the_label_limit_is_rejected_and_integer_target_has_no_labels(
    read: Read, reject: Reject
) -> None:
    rows = build_csv({"a": [f"w{i % 50}" for i in range(100)], "n": range(0, 300, 3)})
    assert reject(rows, target="a", limits=Limits(classes_max=49)).code == "too_many_labels"
    assert read(rows, target="n").summary.labels == ()


def test_schema_can_be_changed_and_restored(read: Read, tmp_path: Any) -> None:
    original = read(build_csv(ROWS))
    overrides = SchemaOverrides(columns=override("zip", type="integer"), target="yn")
    changed = update_table_schema(original.path, original.summary, overrides, Limits(), tmp_path)
    assert changed.schema["zip"].type == "integer"
    assert changed.schema.target == "yn"
    restore_overrides = SchemaOverrides(
        columns=tuple(
            ColumnOverride(c.name, c.type, c.nullable, c.decimals, c.format, c.exclude)
            for c in original.summary.schema.columns
        )
    )
    restored = update_table_schema(original.path, changed, restore_overrides, Limits(), tmp_path)
    assert restored == original.summary
