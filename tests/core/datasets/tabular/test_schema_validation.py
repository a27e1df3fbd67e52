"""A schema that is other than it was inferred."""

from typing import Any

import pytest

from core.datasets.tabular import ColumnOverride, SchemaOverrides
from core.datasets.tabular.reading import update_table_schema
from core.errors import ValidationFailed
from core.settings import Limits
from tests.core.datasets.tabular.conftest import Read, Refuse
from tests.core.datasets.tabular.factories import csv_of

ROWS = {
    "zip": ["01067", "10115", "01067", "80331", "10115"],
    "n": [1, 2, 3, 2, 1],
    "f": ["1.50", "2.25", "3.00", "", "1.50"],
    "yn": ["Yes", "No", "Yes", "", "No"],
    "day": ["01/02/2021", "03/04/2021", "05/06/2021", "07/08/2021", "09/10/2021"],
    "flag": ["true", "false", "true", "false", "true"],
    "w": ["1", "2", "x", "2", "1"],
}


def change(name: str, **fields: Any) -> tuple[ColumnOverride, ...]:
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
def test_a_column_may_have_another_type(
    name: str, fields: Any, values: object, shown: object, read: Read
) -> None:
    table = read(csv_of(ROWS), columns=change(name, **fields))
    assert table[name].type == fields["type"]
    assert (table.values(name)[0], table.shown(name)[0]) == (values, shown)
    assert table[name].nullable == ("" in ROWS[name])


def test_a_column_that_is_called_text_is_dropped(read: Read) -> None:
    assert read(csv_of(ROWS), columns=change("w", type="text"))["w"].exclude


def test_words_for_missing_are_no_obstacle_to_another_type(read: Read) -> None:
    rows = csv_of({"zip": ["01067", "NA", "", "80331", "inf"], "n": [1, 2, 3, 2, 1]})
    table = read(rows, columns=change("zip", type="integer"))
    assert table.values("zip") == [1067, None, None, 80331, None]
    assert table["zip"].nullable


def test_fewer_decimals_are_shown_where_they_are_wanted(read: Read) -> None:
    rows = csv_of({"f": ["1.256", "2.5", "3.04", "4.96", "5"], "n": [1, 2, 3, 2, 1]})
    table = read(rows, columns=change("f", decimals=1))
    assert table.shown("f") == [1.3, 2.5, 3.0, 5.0, 5.0]


def test_a_boolean_keeps_its_own_words(read: Read) -> None:
    assert read(csv_of(ROWS), columns=change("yn", type="boolean"))["yn"].format == "No|Yes"


def test_a_format_says_which_of_two_readings_is_meant(read: Read) -> None:
    table = read(csv_of(ROWS), columns=change("day", format="%m/%d/%Y"))
    assert table["day"].format == "%m/%d/%Y"
    from_category = read(csv_of(ROWS), columns=change("day", type="datetime", format="%m/%d/%Y"))
    assert from_category["day"] == table["day"]
    assert str(table.values("day")[0].date()) == "2021-01-02"


def test_the_order_is_that_of_a_list_that_names_all_columns(read: Read) -> None:
    names = sorted(ROWS)
    table = read(csv_of(ROWS), columns=tuple(ColumnOverride(name) for name in names))
    assert table.summary.schema.names == names
    assert list(read(csv_of(ROWS), columns=change("w")).types) == list(ROWS)


def test_dropped_columns_are_absent_from_what_is_learned(read: Read) -> None:
    table = read(csv_of(ROWS), exclude_columns=("zip", "w"), columns=change("n", exclude=True))
    assert [c.name for c in table.summary.schema.columns if c.exclude] == ["zip", "n", "w"]
    with pytest.raises(KeyError):
        table.values("zip")


@pytest.mark.parametrize(
    ("wanted", "code", "pointer"),
    [
        ({"columns": change("w", type="number")}, "type_mismatch", "/meta/schema/0/type"),
        ({"columns": change("zip", type="boolean")}, "type_mismatch", "/meta/schema/0/type"),
        ({"columns": change("f", type="integer")}, "type_mismatch", "/meta/schema/0/type"),
        ({"columns": change("n", type="datetime")}, "type_mismatch", "/meta/schema/0/type"),
        ({"columns": change("f", nullable=False)}, "has_missing", "/meta/schema/0/nullable"),
        ({"columns": change("day", format="%x")}, "format_unknown", "/meta/schema/0/format"),
        ({"columns": change("n", format=",")}, "format_unknown", "/meta/schema/0/format"),
        ({"columns": change("n", decimals=2)}, "not_allowed", "/meta/schema/0/decimals"),
        (
            {"columns": change("w", type="text", exclude=False)},
            "free_text",
            "/meta/schema/0/exclude",
        ),
        ({"columns": change("nn")}, "unknown_column", "/meta/schema/0/name"),
        ({"columns": change("n") + change("n")}, "duplicate_column", "/meta/schema/1/name"),
        ({"exclude_columns": ("x",)}, "unknown_column", "/meta/exclude_columns/0"),
        ({"target": "ww"}, "unknown_column", "/meta/target"),
        ({"target": "w", "exclude_columns": ("w",)}, "target_not_learned", "/meta/target"),
        ({"exclude_columns": tuple(ROWS)}, "nothing_to_learn", "/meta/schema"),
    ],
)
def test_what_the_values_do_not_allow_is_refused_by_field(
    wanted: Any, code: str, pointer: str, refuse: Refuse
) -> None:
    error = refuse(csv_of(ROWS), **wanted)
    assert (error.code, error.field_errors[0].pointer) == (code, pointer)
    assert type(error) is ValidationFailed
    assert "x" not in error.detail.split() or code != "type_mismatch"  # no value of the data


def test_an_unknown_name_is_answered_with_the_nearest(refuse: Refuse) -> None:
    assert refuse(csv_of(ROWS), target="flog").field_errors[0].allowed == ("flag",)


def test_a_target_that_is_a_category_has_labels(read: Read) -> None:
    table = read(csv_of(ROWS), target="w")
    assert table.summary.labels == (
        {"name": "1", "count": 2, "test_count": 0},
        {"name": "2", "count": 2, "test_count": 0},
        {"name": "x", "count": 1, "test_count": 0},
    )


def test_a_boolean_target_has_its_own_words_as_labels(read: Read) -> None:
    table = read(csv_of(ROWS), target="yn", columns=change("yn", type="boolean"))
    assert [(label["name"], label["count"]) for label in table.summary.labels] == [
        ("No", 2),
        ("Yes", 2),
    ]


def test_a_target_of_a_few_whole_numbers_is_a_category_unless_it_is_said(read: Read) -> None:
    table = read(csv_of(ROWS), target="n")
    assert (table["n"].type, table["n"].format) == ("category", "integer")
    assert [label["name"] for label in table.summary.labels] == ["1", "2", "3"]
    assert table.shown("n")[0] == 1
    said = read(csv_of(ROWS), target="n", columns=change("n", type="integer"))
    assert said["n"].type == "integer"
    assert said.summary.labels == ()


def test_a_target_with_too_many_values_has_no_labels(read: Read, refuse: Refuse) -> None:
    rows = csv_of({"a": [f"w{i % 50}" for i in range(100)], "n": range(0, 300, 3)})
    assert refuse(rows, target="a", limits=Limits(classes_max=49)).code == "too_many_labels"
    assert read(rows, target="n").summary.labels == ()


def test_a_schema_can_be_changed_and_changed_back(read: Read, tmp_path: Any) -> None:
    first = read(csv_of(ROWS))
    text = SchemaOverrides(columns=change("zip", type="integer"), target="yn")
    second = update_table_schema(first.path, first.summary, text, Limits(), tmp_path)
    assert second.schema["zip"].type == "integer"
    assert second.schema.target == "yn"
    back = SchemaOverrides(
        columns=tuple(ColumnOverride(**c.to_dict()) for c in first.summary.schema.columns)
    )
    third = update_table_schema(first.path, second, back, Limits(), tmp_path)
    assert third == first.summary
