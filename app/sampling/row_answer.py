"""What is answered when table rows are asked for."""

from collections.abc import Sequence
from itertools import chain

from fastapi import Response

from app import negotiation
from app.sampling import labels
from app.sampling.sampler import get_sampler
from app.sampling.streamed import Streamed
from app.schemas.samples import ConditionRequest, SamplesRequest
from core.datasets.media_types import ROW_MEDIA_TYPES
from core.datasets.rows import Column, writing
from core.errors import Fault, Invalid
from core.settings import get_settings
from core.tables import Model
from models.tables.conditions import InvalidCondition, TooRare
from models.tables.order import RowOrder, Where, by_share, of_all, of_each


def answer(
    model: Model, wanted: SamplesRequest, seed: int, *, format: str | None, accept: str | None
) -> Response:
    """Raises Invalid, also when too few candidates of the first rows meet a condition."""
    if wanted.layout is not None:
        fault = Fault("/layout", "not_allowed", "rows have no pictures")
        raise Invalid("`layout` is for images", faults=[fault])
    order = _order(model, wanted, seed)
    chosen = negotiation.choose(ROW_MEDIA_TYPES, format=format, accept=accept, default="csv")
    _check_size(order, chosen)
    drawing = get_sampler().rows(model, order)
    try:
        first = next(drawing)
    except InvalidCondition as error:
        drawing.close()
        raise _invalid(wanted, error) from error
    except TooRare as error:
        drawing.close()
        raise _too_rare(error) from error
    except BaseException:
        drawing.close()
        raise
    columns = [
        Column.from_dict({k: v for k, v in column.items() if k != "known"})
        for column in model.manifest["columns"]
    ]
    head = {"model": model.id, "seed": seed, "offset": wanted.offset, "count": order.count}
    batches = (part.rows for part in chain([first], drawing))
    return Streamed(
        writing.encode(chosen, batches, columns, head),
        drawing.close,
        headers={
            "Semblance-Count": str(order.count),
            # Of the first rows; a condition on the label alone is met directly.
            "Semblance-Acceptance": f"{first.acceptance:.4f}",
            "Content-Disposition": f'attachment; filename="samples.{chosen}"',
        },
        media_type=ROW_MEDIA_TYPES[chosen],
    )


def _order(model: Model, wanted: SamplesRequest, seed: int) -> RowOrder:
    offset = wanted.offset
    if wanted.labels is not None:
        counts = labels.counted(model, wanted.labels)
        where = _where_of_labels(model)
        return of_each([(where[name], n) for name, n in counts.items()], seed=seed, offset=offset)
    if wanted.conditions is not None:
        return of_each(_parts(wanted.conditions, wanted.count), seed=seed, offset=offset)
    assert wanted.count is not None  # noqa: S101 - one of the three is given
    wheres: Sequence[Where] = [{}]
    if wanted.balance:
        wheres = list(_where_of_labels(model).values())
        if not wheres:
            raise Invalid(
                "the model has no labels to balance",
                faults=[
                    Fault("/balance", "no_labels", "the label is no category, or there is none")
                ],
            )
    return of_all(wanted.count, wheres, seed=seed, offset=offset)


def _where_of_labels(model: Model) -> dict[str, Where]:
    column = model.manifest["label"]
    return {label["name"]: {column: label["value"]} for label in model.manifest["labels"]}


def _parts(conditions: Sequence[ConditionRequest], count: int | None) -> list[tuple[Where, int]]:
    """Counts as they are given, or shares of `count`; what shares leave over is free."""
    wheres: list[Where] = [condition.where for condition in conditions]
    counts = [condition.count for condition in conditions]
    shares = [condition.share for condition in conditions]
    if count is None:
        if None in counts or any(share is not None for share in shares):
            raise _mixed("give each condition a `count`, or `count` once and shares of it")
        return [(where, n or 0) for where, n in zip(wheres, counts, strict=True)]
    if any(n is not None for n in counts):
        raise _mixed("a condition's own `count` goes without the request's")
    if all(share is None for share in shares):
        shares = [1 / len(wheres)] * len(wheres)
    if None in shares or sum(share or 0 for share in shares) > 1 + 1e-9:
        raise _mixed("give every condition a `share`, at most 1 in all, or none")
    numbers = by_share(count, [share or 0 for share in shares])
    return list(zip([*wheres, {}], numbers, strict=True))


def _mixed(message: str) -> Invalid:
    return Invalid(message, faults=[Fault("/conditions", "conflict", message)])


def _invalid(wanted: SamplesRequest, error: InvalidCondition) -> Invalid:
    at = next(
        (
            f"/conditions/{i}/where/"
            for i, condition in enumerate(wanted.conditions or [])
            if error.column in condition.where
        ),
        "/conditions/",
    )
    pointer = at + error.column.replace("~", "~0").replace("/", "~1")
    fault = Fault(pointer, "invalid_condition", str(error))
    return Invalid(f"column {error.column!r} {error}", code="invalid_condition", faults=[fault])


def _too_rare(error: TooRare) -> Invalid:
    return Invalid(
        f"{error.made} of the first {error.asked} rows could be made: {error.acceptance:.2%} of "
        "the rows that the model draws meet the conditions",
        code="too_rare",
        made=error.made,
        asked=error.asked,
        acceptance=error.acceptance,
    )


def _check_size(order: RowOrder, chosen: str) -> None:
    limits = get_settings().limits
    limit = limits.json_samples if chosen == "json" else limits.samples
    if order.count > limit:
        raise Invalid(
            f"{order.count} rows are more than the {limit} that one {chosen} answer may hold",
            code="too_many_samples",
            limit=limit,
        )
