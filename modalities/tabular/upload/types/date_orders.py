"""Order of day, month and year in a table whose columns of dates have the same one."""

from collections.abc import Sequence
from dataclasses import replace

from modalities.tabular.forms.moments import parse_format
from modalities.tabular.upload.types.type_inference import InferredColumn


def give_one_order(columns: Sequence[InferredColumn]) -> None:
    """Read dates that fit several orders in that of the other columns, if these have the same one.

    Dates that begin with a year of four digits say nothing about the order of others.
    """
    dates = [each for each in columns if each.column.type == "datetime" and each.column.format]
    orders = {_order(each.column.format or "") for each in dates if not each.other_formats}
    orders.discard(None)
    if len(orders) != 1:
        return
    for inferred in dates:
        formats = (inferred.column.format or "", *inferred.other_formats)
        fitting = [format for format in formats if _order(format) in orders]
        if inferred.other_formats and len(fitting) == 1 and len(inferred.readers) == 1:
            inferred.column = replace(inferred.column, format=fitting[0])
            inferred.readers = (inferred.column,)
            inferred.other_formats = ()


def _order(format: str) -> tuple[str, ...] | None:
    """Return the order of three numbers, such as ("d", "m", "y")."""
    form = parse_format(format)
    if form is None or form.fields & set("Bb") or len(form.order) < 3:
        return None
    return None if form.order[0] == "y" and "Y" in form.fields else form.order
