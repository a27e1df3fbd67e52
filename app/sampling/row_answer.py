"""What is answered when table rows are asked for."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from fastapi import Response

from app import negotiation
from app.sampling import asked, recipes
from app.sampling.sampler import get_sampler
from app.sampling.streamed import Streamed
from app.schemas.samples import SamplesRequest
from core.datasets.media_types import ROW_MEDIA_TYPES
from core.datasets.rows import writing
from core.errors import Fault, Invalid
from core.settings import get_settings
from core.tables import Model
from models.rarity import TooRare
from models.tables.conditions import (
    CannotComplete,
    InvalidCondition,
    InvalidKnown,
)
from models.tables.judging import realness
from models.tables.order import RowOrder, of_known
from models.tables.sampling import Drawn, NoHashes, RowSampler


def answer(
    model: Model, wanted: SamplesRequest, seed: int, *, format: str | None, accept: str | None
) -> Response:
    """Raises Invalid, also when too few candidates of the first rows meet a condition."""
    _refuse_pictures(wanted)
    order = _order(model, wanted, seed)
    chosen = negotiation.choose(ROW_MEDIA_TYPES, format=format, accept=accept, default="csv")
    _check_size(order, chosen)
    if wanted.include and chosen != "json":
        fault = Fault("/include", "not_allowed", "goes with JSON")
        raise Invalid("`include` goes with JSON", faults=[fault])
    drawing = get_sampler().rows(model, order)
    try:
        parts = [next(drawing)]
        if wanted.include:
            parts += drawing  # not many, as they go into JSON
        more = _included(model, wanted, order, drawing.generator, parts)
    except (InvalidKnown, CannotComplete, NoHashes) as error:
        drawing.close()
        raise _refused(error) from error
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
    batches = (part.rows for part in chain(parts, drawing))
    return Streamed(
        writing.encode(chosen, batches, columns, head | more),
        drawing.close,
        headers={
            "Semblance-Count": str(order.count),
            # Of the first rows; a condition on the label alone is met directly.
            "Semblance-Acceptance": f"{parts[0].acceptance:.4f}",
            "Content-Disposition": f'attachment; filename="samples.{chosen}"',
        },
        media_type=ROW_MEDIA_TYPES[chosen],
    )


def _order(model: Model, wanted: SamplesRequest, seed: int) -> RowOrder:
    if wanted.known is not None:
        return of_known(wanted.known, seed=seed, offset=wanted.offset)
    return replace(asked.rows(model, wanted, seed), refuse_copies=wanted.refuse_copies)


def _refused(error: InvalidKnown | CannotComplete | NoHashes) -> Invalid:
    if isinstance(error, InvalidKnown):
        return asked.invalid_known(error)
    if isinstance(error, NoHashes):
        fault = Fault("/refuse_copies", "not_supported", "the model keeps no hashes of rows")
        return Invalid("train with `row_hashes` to have copies refused", faults=[fault])
    fault = Fault("/known", "not_supported", "the model makes its rows in one piece")
    return Invalid("this model completes no rows; train one with `auto`", faults=[fault])


def _refuse_pictures(wanted: SamplesRequest) -> None:
    for name in ("layout", "interpolation"):
        if getattr(wanted, name) is not None:
            fault = Fault(f"/{name}", "not_allowed", "rows have no pictures")
            raise Invalid(f"`{name}` is for images", faults=[fault])
    if wanted.image.truncation != 1:
        fault = Fault("/image/truncation", "not_allowed", "rows have no pictures")
        raise Invalid("`truncation` is for images", faults=[fault])


def _included(
    model: Model,
    wanted: SamplesRequest,
    order: RowOrder,
    generator: RowSampler,
    parts: Sequence[Drawn],
) -> dict[str, Any]:
    """Lists beside that of the rows, which have no room for names that are not columns."""
    included: dict[str, Any] = {}
    if "recipe" in wanted.include:
        included["recipes"] = list(recipes.of_rows(model, order))
    if "scores" in wanted.include:
        if generator.critic is None:
            fault = Fault("/include", "not_available", "this model keeps no critic")
            raise Invalid(fault.message, code="scores_unavailable", faults=[fault])
        chances = [realness(generator, part.rows) for part in parts]
        included["scores"] = [
            {"real": round(chance, 4)} for part in chances for chance in part.tolist()
        ]
    return included


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
