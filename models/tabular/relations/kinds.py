"""Kinds of relations. A relation has `columns`; other names in this list are its fields.

- `order`: the first column is at most the second one; no sample breaks one with exceptions.
- `distinct`: the two columns are never equal.
- `sum`: the last column is the sum of the others, with `signs` (default: plus), and `offset`.
- `rounded_sum`: the last column is a sum that was computed before all columns were rounded.
- `near_sum`: the last column is the sum of the others, with `signs`, in most rows.
- `weighted_sum`: the sum of the others, each times its weight in `values`, and `offset`.
- `linear`: factor * first + offset.
- `product`: factor * first * second, plus the third column with its sign, if there is one.
- `ratio`: factor * first / second + offset.
- `factor`: the second column times a factor that each value of the first one has.
- `decimals`: the last column, with the decimals that each value of the first one has; negative
  decimals are those of tens, hundreds or thousands.
- `offset`: an amount that each value of the first column has, plus or minus the second one.
- `elapsed`: factor * (second - first) + offset, of two datetimes or times in ticks; `part` is
  the unit of time that the factor converts to, if it is one.
- `date_sum`: the last column is the date in the first one, and the days in the others later;
  `factor` is the length of a day. A `near_date_sum` holds in most rows. In a `near_date`, two
  dates are close.
- `date_bound`: the date in the first column, and the days in the second one later, or before it
  by `signs`, is at most the date in the last one.
- `clock_time`: the first plus the second one, modulo `factor` ticks, which are a day; the last
  one may differ by `offset` ticks, because all three were rounded. With `part`, the second one
  is a number in this unit of time, and the last one is rounded to multiples of `offset`.
- `date_part`: a part of a datetime, such as its year, its date or its time of day.
- `valid_date`: the columns are those of a date that exists.
- `step`: a monotone step function of a number, datetime or time.
- `interval`: each interval of a number, datetime or time has a text of the last column.
- `lookup`: each value of the first column, or of a part of it, has a single one of the last; or
  each pair of values of the first two columns.
"""

from typing import Literal

Kind = Literal[
    "order",
    "distinct",
    "sum",
    "rounded_sum",
    "near_sum",
    "weighted_sum",
    "linear",
    "product",
    "ratio",
    "factor",
    "offset",
    "decimals",
    "elapsed",
    "date_sum",
    "near_date_sum",
    "near_date",
    "date_bound",
    "clock_time",
    "date_part",
    "valid_date",
    "step",
    "interval",
    "lookup",
]
TIME_UNITS = {"weeks": 604_800, "days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
NOT_DETERMINING = ("order", "date_bound", "distinct", "valid_date")
NOT_EXPLAINING = (*NOT_DETERMINING, "decimals")  # the last column may follow from others, too
SUMS = ("sum", "rounded_sum", "near_sum")
GIVES_TEXT = ("interval", "lookup")
DATE_SUMS = ("date_sum", "near_date_sum", "near_date")
SOLVABLE = (*SUMS, "weighted_sum", "linear", "product", "ratio", "elapsed", "clock_time")
BY_KEYS = ("factor", "offset")  # the keys of the first column have numbers
