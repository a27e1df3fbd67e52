"""What a request names: an order of images or of rows, or why there is none. Free of torch."""

from collections.abc import Sequence

from app.sampling import labels
from app.schemas.samples import Asked, ConditionRequest
from core.errors import Fault, Invalid
from core.tables import Model
from models.images.order import Order, by_count, by_label
from models.rarity import TooRare
from models.tables.conditions import InvalidCondition, InvalidKnown
from models.tables.order import RowOrder, Where, by_share, of_all, of_each


def images(model: Model, wanted: Asked, seed: int) -> Order:
    if wanted.conditions is not None:
        fault = Fault("/conditions", "not_allowed", "images are asked for by label")
        raise Invalid("`conditions` are for table rows; use `labels`", faults=[fault])
    learned = model.manifest["labels"]
    shares = tuple(float(label["count"]) for label in learned)
    if wanted.labels is None:
        assert wanted.count is not None  # noqa: S101 - one of the two is given
        return by_count(
            wanted.count, seed=seed, offset=wanted.offset, shares=shares, balance=wanted.balance
        )
    index = {label["name"]: i for i, label in enumerate(learned)}
    counts = {index[name]: n for name, n in labels.counted(model, wanted.labels).items()}
    return by_label(counts, seed=seed, offset=wanted.offset, shares=shares)


def rows(model: Model, wanted: Asked, seed: int) -> RowOrder:
    if wanted.min_label_score is not None:
        fault = Fault("/min_label_score", "not_allowed", "a row that is asked for by label has it")
        raise Invalid("`min_label_score` is for images", faults=[fault])
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
        bins = [{model.manifest["label"]: bin} for bin in model.manifest.get("bins", ())]
        wheres = list(_where_of_labels(model).values()) or bins
        if not wheres:
            fault = Fault("/balance", "no_labels", "the model has no label")
            raise Invalid("the model has no labels to balance", faults=[fault])
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


def invalid(wanted: Asked, error: InvalidCondition) -> Invalid:
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


def invalid_known(error: InvalidKnown) -> Invalid:
    column = error.column.replace("~", "~0").replace("/", "~1")
    fault = Fault(f"/known/{error.row}/{column}", "invalid_value", str(error))
    return Invalid(f"column {error.column!r} {error}", code="invalid_known", faults=[fault])


def too_rare(error: TooRare) -> Invalid:
    return Invalid(
        f"{error.made} of the first {error.asked} items could be made: {error.acceptance:.2%} of "
        "those that the model draws are as asked for",
        code="too_rare",
        made=error.made,
        asked=error.asked,
        acceptance=error.acceptance,
    )


def unscored(pointer: str) -> Invalid:
    fault = Fault(pointer, "not_available", "this model has no critic and no classifier of labels")
    return Invalid(fault.message, code="scores_unavailable", faults=[fault])
