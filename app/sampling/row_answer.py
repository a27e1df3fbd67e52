"""What is answered when table rows are asked for."""

from itertools import chain

from fastapi import Response

from app import negotiation
from app.sampling import asked
from app.sampling.sampler import get_sampler
from app.sampling.streamed import Streamed
from app.schemas.samples import SamplesRequest
from core.datasets.media_types import ROW_MEDIA_TYPES
from core.datasets.rows import writing
from core.errors import Fault, Invalid
from core.settings import get_settings
from core.tables import Model
from models.tables.conditions import InvalidCondition, TooRare
from models.tables.order import RowOrder


def answer(
    model: Model, wanted: SamplesRequest, seed: int, *, format: str | None, accept: str | None
) -> Response:
    """Raises Invalid, also when too few candidates of the first rows meet a condition."""
    if wanted.layout is not None:
        fault = Fault("/layout", "not_allowed", "rows have no pictures")
        raise Invalid("`layout` is for images", faults=[fault])
    order = asked.rows(model, wanted, seed)
    chosen = negotiation.choose(ROW_MEDIA_TYPES, format=format, accept=accept, default="csv")
    _check_size(order, chosen)
    drawing = get_sampler().rows(model, order)
    try:
        first = next(drawing)
    except InvalidCondition as error:
        drawing.close()
        raise asked.invalid(wanted, error) from error
    except TooRare as error:
        drawing.close()
        raise asked.too_rare(error) from error
    except BaseException:
        drawing.close()
        raise
    columns = writing.columns_of(model.manifest)
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


def _check_size(order: RowOrder, chosen: str) -> None:
    limits = get_settings().limits
    limit = limits.json_samples if chosen == "json" else limits.samples
    if order.count > limit:
        raise Invalid(
            f"{order.count} rows are more than the {limit} that one {chosen} answer may hold; "
            "a job of the kind `generation` makes a set of any size",
            code="too_many_samples",
            limit=limit,
        )
