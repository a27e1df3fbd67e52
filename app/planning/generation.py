"""From a request for many items and a model to the shards of a generation job."""

from app.sampling import asked
from app.schemas.jobs import GenerationRequest
from app.schemas.samples import check
from core import delivery
from core.datasets.media_types import STORED
from core.errors import Fault, Invalid
from core.generation import GenerationSpec, Images, Rows
from core.settings import get_settings
from core.tables import Model

SHARD_BYTES = 64 * 1024 * 1024  # of pixels
SHARD_ROWS = 100_000
SHARD_IMAGES = (1_000, 50_000)


def plan(model: Model, wanted: GenerationRequest, seed: int) -> GenerationSpec:
    """Raises Invalid when the model has not what is asked for."""
    check(wanted)
    if wanted.deliver_to is not None:
        delivery.check(wanted.deliver_to, pointer="/deliver_to")
    images = asked.images(model, wanted, seed) if model.kind == "images" else None
    rows = asked.rows(model, wanted, seed) if images is None else None
    if rows is not None and _has_unique_rule(model):
        raise Invalid("rows that a rule wants unique come in one answer", code="unique_rule")
    count = images.count if images is not None else rows.count if rows is not None else 0
    limit = get_settings().limits.generated
    if count > limit:
        raise Invalid(
            f"{count} items are more than the {limit} of one job",
            code="too_many_samples",
            limit=limit,
        )
    size = _shard_size(model, wanted, count)
    return GenerationSpec(
        model=model.id,
        reference=f"{model.name}:{model.version}",
        kind="images" if images is not None else "rows",
        format=_format(model, wanted.format),
        seed=seed,
        offset=wanted.offset,
        count=count,
        shard_size=size,
        shards=-(-count // size),
        balance=wanted.balance,
        min_label_score=wanted.min_label_score,
        deliver_to=wanted.deliver_to,
        images=[
            Images(label=run.label, start=run.start, stop=run.stop)
            for run in (images.runs if images is not None else ())
        ],
        rows=[
            Rows(wheres=[dict(where) for where in part.wheres], start=part.start, stop=part.stop)
            for part in (rows.parts if rows is not None else ())
        ],
    )


def _has_unique_rule(model: Model) -> bool:
    """Its shards, made apart, would not know of each other's rows."""
    rules = model.manifest["config"]["config"].get("rules", ())
    ids = {column["name"] for column in model.manifest["columns"] if column["type"] == "id"}
    return any(rule["kind"] == "unique" and not ids & set(rule["columns"]) for rule in rules)


def _format(model: Model, wanted: str | None) -> str:
    allowed = STORED[model.kind]
    if wanted is None:
        return allowed[0]
    if wanted not in allowed:
        fault = Fault("/format", "not_allowed", f"not a format of {model.kind}", allowed)
        raise Invalid(f"{model.kind} are stored as {', '.join(allowed)}", faults=[fault])
    return wanted


def _shard_size(model: Model, wanted: GenerationRequest, count: int) -> int:
    limits = get_settings().limits
    least = -(-count // limits.shards)
    if wanted.shard_size == "auto":
        return max(least, SHARD_ROWS if model.kind == "rows" else _images_of_a_shard(model))
    if not least <= wanted.shard_size <= limits.samples:
        message = f"from {least} to {limits.samples}: at most {limits.shards} shards"
        fault = Fault("/shard_size", "out_of_range", message)
        raise Invalid(f"`shard_size` may be {message}", faults=[fault])
    return wanted.shard_size


def _images_of_a_shard(model: Model) -> int:
    image = model.manifest["image"]
    fit: int = SHARD_BYTES // (image["height"] * image["width"] * image["channels"])
    return min(max(fit, SHARD_IMAGES[0]), SHARD_IMAGES[1])
