"""From a request for a larger set to how many items of each label come from where."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from app.schemas.augmentation import AugmentationPlan, AugmentationRequest, TransformRequest
from core import evaluation, model_registry
from core.augmentation import MIN_HOLDOUT_ITEMS, MIN_ROWS_PER_LABEL, AugmentationSpec, LabelPlan
from core.datasets import repository as datasets
from core.datasets.item_labels import read_labels
from core.datasets.tabular import Schema
from core.errors import Conflict, FieldError, ValidationFailed
from core.settings import get_settings
from core.storage import ObjectCorrupted, get_storage
from core.tables import Dataset, Model
from models import split
from models.augmentation.transforms import COLOR_TRANSFORMS, RANGES, Transform, default_transforms
from models.tabular.sampling_plan import apportion

MAX_EVALUATION_BYTES = 1024 * 1024 * 1024  # of pixels that are in memory when images are measured
MIN_HOLDOUT_ITEMS_PER_LABEL = 10  # held-out items of a label
DEFAULT_HOLDOUT_FRACTION = 0.1  # of a set without a test part, for a job without a model


@dataclass(frozen=True)
class SourceShares:
    """Shares of what is made, and why a label may not have an item of one."""

    model: float
    transforms: float
    model_labels: frozenset[str]  # labels of the model
    min_real_items: int  # real items of a label, for classical ones

    def plan_label(
        self, name: str, real: int, requested: int, skipped: int, skip_reasons: list[str]
    ) -> LabelPlan:
        wanted = requested - skipped
        gan, classical = apportion(wanted, [self.model, self.transforms])[:2]
        if gan and name not in self.model_labels:
            skip_reasons = [
                *skip_reasons,
                "unknown_to_model: the model was trained without this label",
            ]
            gan, classical = 0, wanted if self.transforms else 0
        if classical and real < self.min_real_items:
            skip_reasons = [
                *skip_reasons,
                f"too_few_real_items: classical items need {self.min_real_items} real ones",
            ]
            classical, gan = 0, wanted if self.model and name in self.model_labels else 0
        return LabelPlan(
            name=name,
            real=real,
            requested=requested,
            transforms=classical,
            model=gan,
            skipped=requested - classical - gan,
            skip_reasons=skip_reasons,
        )


def plan(
    session: Session, tenant_id: str, request: AugmentationRequest, seed: int
) -> AugmentationPlan:
    """Raises ValidationFailed and Conflict when it cannot be made so."""
    dataset = datasets.get_ready(session, tenant_id, request.dataset)
    names = [label["name"] for label in dataset.summary["labels"]]
    if not names:
        fault = FieldError("/dataset", "no_labels", "has no labels")
        raise ValidationFailed("an augmentation needs a dataset with labels", field_errors=[fault])
    model = _model(session, tenant_id, request, dataset)
    same = model is not None and _trained_on(model, dataset)
    holdout_fraction, holdout_seed = _holdout_split(request, dataset, model if same else None, seed)
    have, held_out, without, apart = _counts(dataset, len(names), holdout_fraction, holdout_seed)
    sources = _sources(request, model, dataset)
    labels = allocate(request, dict(zip(names, have, strict=True)), sources)
    spec = AugmentationSpec(
        dataset=dataset.id,
        modality="image" if dataset.modality == "image" else "tabular",
        name=request.name or f"{dataset.name} augmented",
        model=model.id if model is not None else None,
        reference=f"{model.name}:{model.version}" if model is not None else None,
        strategy=request.strategy,
        labels=labels,
        transforms=[transform.to_dict() for transform in _transforms(request, dataset)],
        include_real=request.include_real,
        holdout_fraction=holdout_fraction,
        holdout_seed=holdout_seed,
        seed=seed,
        evaluate_lift=request.evaluate_lift,
        lift_cpu_seconds=request.lift_cpu_seconds,
    )
    _check(spec)
    warnings = _warnings(spec)
    if spec.evaluate_lift:
        _check_lift_possible(spec, dataset, held_out)
        warnings += [
            f"few_holdout_items: {n} of {name} to measure with; what is found of it is mostly chance"
            for name, n in zip(names, apart or [], strict=False)
            if n < MIN_HOLDOUT_ITEMS_PER_LABEL
        ]
    if (
        spec.modality == "tabular"
        and any(label.transforms for label in labels)
        and _has_no_numeric_columns(dataset)
    ):
        warnings.append(
            "no_numeric_columns: without numbers there is nothing between rows; classical ones have the "
            "commonest names of their neighbours, and are mostly rows that there are"
        )
    if without:
        warnings.append(f"unlabeled: {without} items without a label are left out")
    if model is not None:
        quality = evaluation.quality_of(session, model).quality
        if quality != "good":
            warnings.append(f"model_{quality}: {spec.reference}; see its report")
        if not same:
            warnings.append(
                "dataset_mismatch: the model was trained elsewhere, and may have seen held-out items"
            )
    return AugmentationPlan(
        resolved=spec.model_dump(mode="json", exclude={"labels"}),
        labels=labels,
        items=spec.items,
        synthetic=spec.synthetic,
        warnings=warnings,
    )


def to_spec(augmentation_plan: AugmentationPlan) -> AugmentationSpec:
    labels = [label.model_dump() for label in augmentation_plan.labels]
    return AugmentationSpec.model_validate(augmentation_plan.resolved | {"labels": labels})


def allocate(
    request: AugmentationRequest, real: Mapping[str, int], sources: SourceShares
) -> list[LabelPlan]:
    """What each label needs, within the share that made items may have of all."""
    goals = _goals(request, real)
    need = {name: max(0, goals[name] - real[name]) for name in real}
    total, share = sum(need.values()), request.max_synthetic_share
    room = int(sum(real.values()) * share / (1 - share) + 1e-9) if share < 1 else total
    allowed = list(need.values())
    reasons: list[str] = []
    if room < total:
        allowed = apportion(room, [n / total for n in need.values()])[: len(need)]
        reasons = [f"max_synthetic_share: made items may be {share:g} of all"]
    return [
        sources.plan_label(
            name, real[name], need[name], need[name] - may, reasons if may < need[name] else []
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
    if wanted.strategy == "fill_to":
        if target != int(target):
            raise _wrong_target("invalid", "fill_to takes a number of items")
        return dict.fromkeys(have, int(target))
    return {name: round(target * count) for name, count in have.items()}


def _wrong_target(code: str, message: str) -> ValidationFailed:
    return ValidationFailed(
        f"`target`: {message}", field_errors=[FieldError("/target", code, message)]
    )


def _model(
    session: Session, tenant_id: str, wanted: AugmentationRequest, dataset: Dataset
) -> Model | None:
    """One that makes items as those of the dataset are."""
    if wanted.model is None:
        return None
    model = model_registry.get(session, tenant_id, wanted.model)
    evaluation.require_quality_gate(session, model, ignore_quality_gate=wanted.ignore_quality_gate)
    shown = f"{model.name}:{model.version}"
    if model.modality != dataset.modality:
        raise Conflict(f"{shown} makes {model.modality}, and {dataset.id} holds {dataset.modality}")
    if not model.manifest["labels"]:
        raise Conflict(f"{shown} was trained without labels", code="no_labels")
    if _sample_shape(model) != _dataset_shape(dataset):
        raise Conflict(f"{shown} makes items of another form", code="shape_mismatch")
    return model


def _dataset_shape(dataset: Dataset) -> object:
    if dataset.modality == "image":
        return [dataset.summary[side] for side in ("height", "width", "channels")]
    schema = Schema.from_dict(dataset.summary)
    columns = {(column.name, column.type) for column in schema.columns if not column.exclude}
    return schema.target, columns


def _sample_shape(model: Model) -> object:
    if model.modality == "image":
        return [model.manifest["image"][side] for side in ("height", "width", "channels")]
    columns = {(column["name"], column["type"]) for column in model.manifest["columns"]}
    return model.manifest["target_column"], columns


def _trained_on(model: Model, dataset: Dataset) -> bool:
    return bool(model.manifest["dataset"]["sha256"] == dataset.summary["sha256"])


def _holdout_split(
    wanted: AugmentationRequest, dataset: Dataset, model: Model | None, seed: int
) -> tuple[float, int]:
    """The share and the seed of what is kept apart: as the model's training did, so that nothing
    made has seen what it is measured with."""
    if model is not None:
        if wanted.holdout_fraction != "auto":
            fault = FieldError(
                "/holdout_fraction", "conflict", "the model's training has held out its own"
            )
            raise ValidationFailed(
                "`holdout_fraction` goes without a model of the dataset", field_errors=[fault]
            )
        config = model.manifest["training"]
        return float(config["holdout_fraction"]), int(config["seed"])
    if wanted.holdout_fraction != "auto":
        return wanted.holdout_fraction, seed
    return (0.0 if dataset.summary["n_test"] else DEFAULT_HOLDOUT_FRACTION), seed


def _has_no_numeric_columns(dataset: Dataset) -> bool:
    schema = Schema.from_dict(dataset.summary)
    numbers = ("integer", "number", "datetime")
    return not any(column.learned and column.type in numbers for column in schema.columns)


def _counts(
    dataset: Dataset, labels: int, share: float, seed: int
) -> tuple[list[int], int, int, list[int] | None]:
    """Of each label, items to learn from; how many with a label there are to measure with; how many
    have none; and of each label those to measure with, where no test part was published."""
    try:
        found = read_labels(dataset, get_storage())
    except ObjectCorrupted as error:
        raise Conflict(f"{error}; upload the dataset again", code="dataset_unreadable") from error
    train, apart = split.holdout_split(dataset.modality, found, share, seed)
    mine = found[train]
    have: list[int] = np.bincount(mine[mine >= 0], minlength=labels).tolist()
    without, published = int((found < 0).sum()), dataset.summary["n_test"]
    if published:
        return have, published, without, None
    asked = found[apart]
    each: list[int] = np.bincount(asked[asked >= 0], minlength=labels).tolist()
    return have, sum(each), without, each


def _sources(wanted: AugmentationRequest, model: Model | None, dataset: Dataset) -> SourceShares:
    usual_shares = {"model": 0.5, "transforms": 0.5} if model is not None else {"transforms": 1.0}
    shares = dict(wanted.sources) if wanted.sources is not None else usual_shares
    total = sum(shares.values())
    if not total:
        fault = FieldError("/sources", "invalid", "no source has a share")
        raise ValidationFailed("give a source a share above 0", field_errors=[fault])
    if shares.get("model") and model is None:
        raise ValidationFailed(
            "`sources.model` needs a `model`",
            field_errors=[FieldError("/model", "missing", "of the dataset")],
        )
    names = [label["name"] for label in model.manifest["labels"]] if model is not None else []
    least = MIN_ROWS_PER_LABEL if dataset.modality == "tabular" else 1
    gan, classical = (shares.get(source, 0.0) / total for source in ("model", "transforms"))
    return SourceShares(gan, classical, frozenset(names), least)


def _transforms(wanted: AugmentationRequest, dataset: Dataset) -> Sequence[Transform]:
    if dataset.modality == "tabular":
        if wanted.transforms != "auto":
            fault = FieldError("/transforms", "not_allowed", "rows lie between others")
            raise ValidationFailed("`transforms` are for images", field_errors=[fault])
        return ()
    channels = dataset.summary["channels"]
    if wanted.transforms == "auto":
        return default_transforms(channels)
    return [_transform(i, asked, channels) for i, asked in enumerate(wanted.transforms)]


def _transform(place: int, asked: TransformRequest, channels: int) -> Transform:
    bounds = RANGES[asked.name]
    if channels == 1 and asked.name in COLOR_TRANSFORMS:
        fault = FieldError(f"/transforms/{place}/name", "not_allowed", "the images are grey")
        raise ValidationFailed(f"`{asked.name}` is for colour images", field_errors=[fault])
    if asked.max_magnitude is not None and asked.max_magnitude > bounds.limit:
        message = f"at most {bounds.limit:g} ({bounds.unit})"
        fault = FieldError(f"/transforms/{place}/max_magnitude", "out_of_range", message)
        raise ValidationFailed(f"`{asked.name}` goes {message}", field_errors=[fault])
    return Transform(
        asked.name, bounds.default if asked.max_magnitude is None else asked.max_magnitude
    )


def _check(spec: AugmentationSpec) -> None:
    limits = get_settings().limits
    images = spec.modality == "image"
    least, most = (
        (limits.images_min, limits.images_max) if images else (limits.rows_min, limits.rows_max)
    )
    if not spec.synthetic:
        refused = dict.fromkeys(reason for label in spec.labels for reason in label.skip_reasons)
        why = "; ".join(refused) or "every label has as many real items as it is to have"
        raise Conflict(f"there is nothing to make: {why}", code="nothing_to_augment")
    if not least <= spec.items <= most:
        raise ValidationFailed(
            f"the set would have {spec.items} items; from {least} to {most} are allowed",
            code="too_many_items" if spec.items > most else "too_few_items",
            limit=most if spec.items > most else least,
        )


def _check_lift_possible(spec: AugmentationSpec, dataset: Dataset, held_out: int) -> None:
    if held_out < MIN_HOLDOUT_ITEMS:
        raise Conflict(
            f"measuring needs {MIN_HOLDOUT_ITEMS} real items that are kept apart, and {held_out} are; "
            "raise `holdout_fraction`",
            code="too_few_holdout_items",
        )
    if sum(label.real > 0 for label in spec.labels) < 2:
        raise Conflict("measuring needs two labels", code="too_few_labels")
    if spec.modality == "image":
        each = math.prod(dataset.summary[side] for side in ("height", "width", "channels"))
        most = MAX_EVALUATION_BYTES // each
        real = sum(label.real for label in spec.labels)
        if real + 2 * spec.synthetic > most:  # those of each source by itself
            raise Conflict(
                f"measuring takes sets of at most {most} images of this size, those that are made "
                "counted twice",
                code="too_many_to_evaluate",
            )


def _warnings(spec: AugmentationSpec) -> list[str]:
    found = [
        f"skipped: {label.skipped} of {label.name}: {'; '.join(label.skip_reasons)}"
        for label in spec.labels
        if label.skipped
    ]
    real = sum(label.real for label in spec.labels)
    if spec.synthetic > real:
        found.append(f"mostly_synthetic: {spec.synthetic} items are made of {real} real ones")
    return found
