"""From a request for a larger set to how many items of each label come from where."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from app.schemas.augmentation import AugmentationPlan, AugmentationRequest, TransformRequest
from core import evaluation, registry
from core.augmentation import ENOUGH, LEAST_ROWS, AugmentationSpec, LabelPlan
from core.datasets import life as datasets
from core.datasets.labelled import labels_of
from core.datasets.rows import Schema
from core.errors import Conflict, Fault, Invalid
from core.settings import get_settings
from core.storage import DamagedObject, get_storage
from core.tables import Dataset, Model
from models import split
from models.augmentation.transforms import COLOURED, RANGES, Transform, usual
from models.tables.order import by_share

MEASURED_BYTES = 1024 * 1024 * 1024  # of pixels that are in memory when images are measured
FEW = 10  # held-out items of a label
HOLDOUT = 0.1  # of a set without a test part, for a job without a model


@dataclass(frozen=True)
class Sources:
    """Shares of what is made, and why a label may not have an item of one."""

    gan: float
    classical: float
    known: frozenset[str]  # labels of the model
    least: int  # real items of a label, for classical ones

    def of(self, name: str, have: int, need: int, refused: int, reasons: list[str]) -> LabelPlan:
        wanted = need - refused
        gan, classical = by_share(wanted, [self.gan, self.classical])[:2]
        if gan and name not in self.known:
            reasons = [*reasons, "unknown_to_model: the model was trained without this label"]
            gan, classical = 0, wanted if self.classical else 0
        if classical and have < self.least:
            reasons = [*reasons, f"too_few_real: classical items need {self.least} real ones"]
            classical, gan = 0, wanted if self.gan and name in self.known else 0
        return LabelPlan(
            name=name,
            have=have,
            need=need,
            classical=classical,
            gan=gan,
            refused=need - classical - gan,
            reasons=reasons,
        )


def plan(
    session: Session, tenant_id: str, wanted: AugmentationRequest, seed: int
) -> AugmentationPlan:
    """Raises Invalid and Conflict when it cannot be made so."""
    dataset = datasets.get_ready(session, tenant_id, wanted.dataset)
    names = [label["name"] for label in dataset.summary["labels"]]
    if not names:
        fault = Fault("/dataset", "no_labels", "has no labels")
        raise Invalid("an augmentation needs a dataset with labels", faults=[fault])
    model = _model(session, tenant_id, wanted, dataset)
    same = model is not None and _is_of(model, dataset)
    holdout, holdout_seed = _apart(wanted, dataset, model if same else None, seed)
    have, held_out, without, apart = _counts(dataset, len(names), holdout, holdout_seed)
    sources = _sources(wanted, model, dataset)
    labels = planned(wanted, dict(zip(names, have, strict=True)), sources)
    spec = AugmentationSpec(
        dataset=dataset.id,
        kind="images" if dataset.kind == "images" else "rows",
        name=wanted.name or f"{dataset.name} augmented",
        model=model.id if model is not None else None,
        reference=f"{model.name}:{model.version}" if model is not None else None,
        strategy=wanted.strategy,
        labels=labels,
        transforms=[transform.to_dict() for transform in _transforms(wanted, dataset)],
        include_real=wanted.include_real,
        holdout=holdout,
        holdout_seed=holdout_seed,
        seed=seed,
        measure_lift=wanted.measure_lift,
        measure_cpu_seconds=wanted.measure_cpu_seconds,
    )
    _check(spec)
    warnings = _warnings(spec)
    if spec.measure_lift:
        _check_measurable(spec, dataset, held_out)
        warnings += [
            f"few_held_out: {n} of {name} to measure with; what is found of it is mostly chance"
            for name, n in zip(names, apart or [], strict=False)
            if n < FEW
        ]
    if (
        spec.kind == "rows"
        and any(label.classical for label in labels)
        and _has_names_alone(dataset)
    ):
        warnings.append(
            "only_names: without numbers there is nothing between rows; classical ones have the "
            "commonest names of their neighbours, and are mostly rows that there are"
        )
    if without:
        warnings.append(f"unlabelled: {without} items without a label are left out")
    if model is not None:
        quality = evaluation.standing(session, model).quality
        if quality != "good":
            warnings.append(f"model_{quality}: {spec.reference}; see its report")
        if not same:
            warnings.append(
                "other_dataset: the model was trained elsewhere, and may have seen held-out items"
            )
    return AugmentationPlan(
        resolved_config=spec.model_dump(mode="json", exclude={"labels"}),
        labels=labels,
        items=spec.items,
        made=spec.made,
        warnings=warnings,
    )


def spec_of(found: AugmentationPlan) -> AugmentationSpec:
    labels = [label.model_dump() for label in found.labels]
    return AugmentationSpec.model_validate(found.resolved_config | {"labels": labels})


def planned(
    wanted: AugmentationRequest, have: Mapping[str, int], sources: Sources
) -> list[LabelPlan]:
    """What each label needs, within the share that made items may have of all."""
    goals = _goals(wanted, have)
    need = {name: max(0, goals[name] - have[name]) for name in have}
    total, share = sum(need.values()), wanted.max_synthetic_share
    room = int(sum(have.values()) * share / (1 - share) + 1e-9) if share < 1 else total
    allowed = list(need.values())
    reasons: list[str] = []
    if room < total:
        allowed = by_share(room, [n / total for n in need.values()])[: len(need)]
        reasons = [f"max_synthetic_share: made items may be {share:g} of all"]
    return [
        sources.of(
            name, have[name], need[name], need[name] - may, reasons if may < need[name] else []
        )
        for name, may in zip(need, allowed, strict=True)
    ]


def _goals(wanted: AugmentationRequest, have: Mapping[str, int]) -> dict[str, int]:
    target = wanted.target
    if wanted.strategy == "balance":
        if target is not None:
            raise _wrong_target("not_allowed", "balance makes all labels as large as the largest")
        return dict.fromkeys(have, max(have.values()))
    if target is None:
        raise _wrong_target("missing", f"{wanted.strategy} needs it")
    if wanted.strategy == "top_up":
        if target != int(target):
            raise _wrong_target("invalid", "top_up takes a number of items")
        return dict.fromkeys(have, int(target))
    return {name: round(target * count) for name, count in have.items()}


def _wrong_target(code: str, message: str) -> Invalid:
    return Invalid(f"`target`: {message}", faults=[Fault("/target", code, message)])


def _model(
    session: Session, tenant_id: str, wanted: AugmentationRequest, dataset: Dataset
) -> Model | None:
    """One that makes items as those of the dataset are."""
    if wanted.model is None:
        return None
    model = registry.get(session, tenant_id, wanted.model)
    evaluation.check_accepted(session, model, allowed=wanted.allow_unaccepted)
    shown = f"{model.name}:{model.version}"
    if model.kind != dataset.kind:
        raise Conflict(f"{shown} makes {model.kind}, and {dataset.id} holds {dataset.kind}")
    if not model.manifest["labels"]:
        raise Conflict(f"{shown} was trained without labels", code="no_labels")
    if _form_of(model) != _form(dataset):
        raise Conflict(f"{shown} makes items of another form", code="another_form")
    return model


def _form(dataset: Dataset) -> object:
    if dataset.kind == "images":
        return [dataset.summary[side] for side in ("height", "width", "channels")]
    schema = Schema.from_dict(dataset.summary)
    columns = {(column.name, column.type) for column in schema.columns if not column.drop}
    return schema.target, columns


def _form_of(model: Model) -> object:
    if model.kind == "images":
        return [model.manifest["image"][side] for side in ("height", "width", "channels")]
    columns = {(column["name"], column["type"]) for column in model.manifest["columns"]}
    return model.manifest["label"], columns


def _is_of(model: Model, dataset: Dataset) -> bool:
    return bool(model.manifest["dataset"]["sha256"] == dataset.summary["sha256"])


def _apart(
    wanted: AugmentationRequest, dataset: Dataset, model: Model | None, seed: int
) -> tuple[float, int]:
    """The share and the seed of what is kept apart: as the model's training did, so that nothing
    made has seen what it is measured with."""
    if model is not None:
        if wanted.holdout != "auto":
            fault = Fault("/holdout", "conflict", "the model's training has held out its own")
            raise Invalid("`holdout` goes without a model of the dataset", faults=[fault])
        config = model.manifest["config"]
        return float(config["holdout"]), int(config["seed"])
    if wanted.holdout != "auto":
        return wanted.holdout, seed
    return (0.0 if dataset.summary["n_held_out"] else HOLDOUT), seed


def _has_names_alone(dataset: Dataset) -> bool:
    schema = Schema.from_dict(dataset.summary)
    numbers = ("integer", "number", "datetime")
    return not any(column.learned and column.type in numbers for column in schema.columns)


def _counts(
    dataset: Dataset, labels: int, share: float, seed: int
) -> tuple[list[int], int, int, list[int] | None]:
    """Of each label, items to learn from; how many with a label there are to measure with; how many
    have none; and of each label those to measure with, where no test part was published."""
    try:
        found = labels_of(dataset, get_storage())
    except DamagedObject as error:
        raise Conflict(f"{error}; upload the dataset again", code="dataset_unreadable") from error
    train, apart = split.apart(dataset.kind, found, share, seed)
    mine = found[train]
    have: list[int] = np.bincount(mine[mine >= 0], minlength=labels).tolist()
    without, published = int((found < 0).sum()), dataset.summary["n_held_out"]
    if published:
        return have, published, without, None
    asked = found[apart]
    each: list[int] = np.bincount(asked[asked >= 0], minlength=labels).tolist()
    return have, sum(each), without, each


def _sources(wanted: AugmentationRequest, model: Model | None, dataset: Dataset) -> Sources:
    usual_shares = {"gan": 0.5, "classical": 0.5} if model is not None else {"classical": 1.0}
    shares = dict(wanted.sources) if wanted.sources is not None else usual_shares
    total = sum(shares.values())
    if not total:
        fault = Fault("/sources", "invalid", "no source has a share")
        raise Invalid("give a source a share above 0", faults=[fault])
    if shares.get("gan") and model is None:
        raise Invalid(
            "`sources.gan` needs a `model`", faults=[Fault("/model", "missing", "of the dataset")]
        )
    names = [label["name"] for label in model.manifest["labels"]] if model is not None else []
    least = LEAST_ROWS if dataset.kind == "rows" else 1
    gan, classical = (shares.get(source, 0.0) / total for source in ("gan", "classical"))
    return Sources(gan, classical, frozenset(names), least)


def _transforms(wanted: AugmentationRequest, dataset: Dataset) -> Sequence[Transform]:
    if dataset.kind == "rows":
        if wanted.transforms != "auto":
            fault = Fault("/transforms", "not_allowed", "rows lie between others")
            raise Invalid("`transforms` are for images", faults=[fault])
        return ()
    channels = dataset.summary["channels"]
    if wanted.transforms == "auto":
        return usual(channels)
    return [_transform(i, asked, channels) for i, asked in enumerate(wanted.transforms)]


def _transform(place: int, asked: TransformRequest, channels: int) -> Transform:
    bounds = RANGES[asked.name]
    if channels == 1 and asked.name in COLOURED:
        fault = Fault(f"/transforms/{place}/name", "not_allowed", "the images are grey")
        raise Invalid(f"`{asked.name}` is for colour images", faults=[fault])
    if asked.most is not None and asked.most > bounds.limit:
        message = f"at most {bounds.limit:g} ({bounds.unit})"
        fault = Fault(f"/transforms/{place}/most", "out_of_range", message)
        raise Invalid(f"`{asked.name}` goes {message}", faults=[fault])
    return Transform(asked.name, bounds.usual if asked.most is None else asked.most)


def _check(spec: AugmentationSpec) -> None:
    limits = get_settings().limits
    images = spec.kind == "images"
    least, most = (
        (limits.images_min, limits.images_max) if images else (limits.rows_min, limits.rows_max)
    )
    if not spec.made:
        refused = dict.fromkeys(reason for label in spec.labels for reason in label.reasons)
        why = "; ".join(refused) or "every label has as many real items as it is to have"
        raise Conflict(f"there is nothing to make: {why}", code="nothing_to_make")
    if not least <= spec.items <= most:
        raise Invalid(
            f"the set would have {spec.items} items; from {least} to {most} are allowed",
            code="too_many_items" if spec.items > most else "too_few_items",
            limit=most if spec.items > most else least,
        )


def _check_measurable(spec: AugmentationSpec, dataset: Dataset, held_out: int) -> None:
    if held_out < ENOUGH:
        raise Conflict(
            f"measuring needs {ENOUGH} real items that are kept apart, and {held_out} are; "
            "raise `holdout`",
            code="too_few_held_out",
        )
    if sum(label.have > 0 for label in spec.labels) < 2:
        raise Conflict("measuring needs two labels", code="too_few_labels")
    if spec.kind == "images":
        each = math.prod(dataset.summary[side] for side in ("height", "width", "channels"))
        most = MEASURED_BYTES // each
        real = sum(label.have for label in spec.labels)
        if real + 2 * spec.made > most:  # those of each source by itself
            raise Conflict(
                f"measuring takes sets of at most {most} images of this size, those that are made "
                "counted twice",
                code="too_many_to_measure",
            )


def _warnings(spec: AugmentationSpec) -> list[str]:
    found = [
        f"refused: {label.refused} of {label.name}: {'; '.join(label.reasons)}"
        for label in spec.labels
        if label.refused
    ]
    real = sum(label.have for label in spec.labels)
    if spec.made > real:
        found.append(f"mostly_made: {spec.made} items are made of {real} real ones")
    return found
