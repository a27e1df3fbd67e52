"""Planning of augmentation jobs: the number of items of each label and source."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

import modalities
from app.schemas.augmentation import AugmentationPlan, AugmentationRequest, TransformRequest
from core import evaluation, model_registry
from core.augmentation import (
    MIN_HOLDOUT_ITEMS,
    MIN_ROWS_PER_LABEL,
    AugmentationSpec,
    LabelPlan,
    SkipReason,
)
from core.datasets import repository as datasets
from core.errors import Conflict, FieldError, ValidationFailed
from core.settings import get_settings
from core.storage import ObjectCorrupted, get_storage
from core.tables import Dataset, Model
from job_kinds.warnings import WarningView
from modalities.tabular.schema import Schema
from models import split
from models.augmentation.transforms import COLOR_TRANSFORMS, RANGES, Transform, default_transforms
from models.tabular.sampling_plan import apportion

MAX_EVALUATION_BYTES = 1024 * 1024 * 1024  # pixels in memory while the lift of images is measured
MIN_HOLDOUT_ITEMS_PER_LABEL = 10  # with fewer, the lift of a label is mostly noise
DEFAULT_HOLDOUT_FRACTION = 0.1  # of a dataset without a test split, for a job without a model


@dataclass(frozen=True)
class SourceShares:
    """Shares of the two sources of synthetic items, and the labels that each can serve."""

    model: float
    transforms: float
    model_labels: frozenset[str]
    min_real_items: int  # a label with fewer real items gets no items from transforms

    def plan_label(
        self, name: str, real: int, requested: int, skipped: int, skip_reasons: list[SkipReason]
    ) -> LabelPlan:
        """Divide the items of a label between the sources.

        A source that cannot serve the label leaves its items to the other source. Items that no
        source can generate are added to those `skipped` already.
        """
        count = requested - skipped
        from_model, from_transforms = apportion(count, [self.model, self.transforms])[:2]
        if from_model and name not in self.model_labels:
            skip_reasons = [
                *skip_reasons,
                SkipReason(
                    code="unknown_to_model", message="The model was trained without this label."
                ),
            ]
            from_model, from_transforms = 0, count if self.transforms else 0
        if from_transforms and real < self.min_real_items:
            skip_reasons = [
                *skip_reasons,
                SkipReason(
                    code="too_few_real_items",
                    message=f"Transforms need at least {self.min_real_items} real items.",
                ),
            ]
            model_serves_label = self.model and name in self.model_labels
            from_transforms, from_model = 0, count if model_serves_label else 0
        return LabelPlan(
            name=name,
            real=real,
            requested=requested,
            transforms=from_transforms,
            model=from_model,
            skipped=requested - from_transforms - from_model,
            skip_reasons=skip_reasons,
        )


def plan(
    session: Session, tenant_id: str, request: AugmentationRequest, seed: int
) -> AugmentationPlan:
    """Resolve every setting of an augmentation job.

    Raises:
        ValidationFailed: The request does not fit the dataset or the model.
        Conflict: The dataset or the model is in the wrong state, or too small.
    """
    dataset = datasets.get_ready(session, tenant_id, request.dataset)
    names = [label["name"] for label in dataset.summary["labels"]]
    if not names:
        message = "`dataset` must name a dataset with labels."
        field_error = FieldError("/dataset", "no_labels", message)
        raise ValidationFailed(message, field_errors=[field_error])
    model = _model(session, tenant_id, request, dataset)
    trained_on_dataset = model is not None and _trained_on(model, dataset)
    holdout_fraction, holdout_seed = _holdout_split(
        request, dataset, model if trained_on_dataset else None, seed
    )
    counts = _count_items(dataset, len(names), holdout_fraction, holdout_seed)
    sources = _sources(request, model, dataset)
    labels = allocate(request, dict(zip(names, counts.train, strict=True)), sources)
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
    _check_size(spec)
    warnings = _warnings(spec)
    if spec.evaluate_lift:
        _check_lift_possible(spec, dataset, counts.holdout)
        warnings += [
            WarningView(
                code="few_holdout_items",
                message=f"{name} has only {count} holdout items. Its lift will be mostly noise.",
            )
            for name, count in zip(names, counts.holdout_per_label or [], strict=False)
            if count < MIN_HOLDOUT_ITEMS_PER_LABEL
        ]
    if (
        spec.modality == "tabular"
        and any(label.transforms for label in labels)
        and _has_no_numeric_columns(dataset)
    ):
        warnings.append(
            WarningView(
                code="no_numeric_columns",
                message="SMOTE cannot interpolate tables with categorical columns only. Most rows "
                "from transforms will duplicate real rows.",
            )
        )
    if counts.unlabeled:
        warnings.append(
            WarningView(
                code="unlabeled_items",
                message=f"{counts.unlabeled} items without a label are left out.",
            )
        )
    if model is not None:
        quality = evaluation.quality_of(session, model).quality
        if quality != "good":
            warnings.append(
                WarningView(
                    code=f"model_{quality}",
                    message=f"The quality of {spec.reference} is {quality}. See its report.",
                )
            )
        if not trained_on_dataset:
            warnings.append(
                WarningView(
                    code="dataset_mismatch",
                    message="The model was trained on another dataset and may have seen the "
                    "holdout items.",
                )
            )
    return AugmentationPlan(
        resolved=spec.model_dump(mode="json", exclude={"labels"}),
        labels=labels,
        items=spec.items,
        synthetic=spec.synthetic,
        warnings=warnings,
    )


def to_spec(augmentation_plan: AugmentationPlan) -> AugmentationSpec:
    """Convert the response of `validate_only` to the specification that the worker executes."""
    labels = [label.model_dump() for label in augmentation_plan.labels]
    return AugmentationSpec.model_validate(augmentation_plan.resolved | {"labels": labels})


def allocate(
    request: AugmentationRequest, real: Mapping[str, int], sources: SourceShares
) -> list[LabelPlan]:
    """Plan the synthetic items of each label within `max_synthetic_share`.

    `real` is the number of training items by label. With r real items and the share s, at most
    r * s / (1 - s) synthetic items are allowed. They are divided in proportion to the needs.
    """
    goals = _label_sizes(request, real)
    needs = {name: max(0, goals[name] - real[name]) for name in real}
    total, share = sum(needs.values()), request.max_synthetic_share
    max_synthetic = int(sum(real.values()) * share / (1 - share) + 1e-9) if share < 1 else total
    allowed = list(needs.values())
    reasons: list[SkipReason] = []
    if max_synthetic < total:
        allowed = apportion(max_synthetic, [n / total for n in needs.values()])[: len(needs)]
        reasons = [
            SkipReason(
                code="max_synthetic_share",
                message=f"Synthetic items may be at most {share:g} of all items.",
            )
        ]
    return [
        sources.plan_label(
            name,
            real[name],
            needs[name],
            needs[name] - count,
            reasons if count < needs[name] else [],
        )
        for name, count in zip(needs, allowed, strict=True)
    ]


def _label_sizes(request: AugmentationRequest, real: Mapping[str, int]) -> dict[str, int]:
    """Return the number of items that each label should have after the augmentation."""
    target = request.target
    if request.strategy == "balance":
        if target is not None:
            raise _invalid_target("not_allowed", "`target` must not be set for `balance`.")
        return dict.fromkeys(real, max(real.values()))
    if target is None:
        raise _invalid_target("missing", f"`target` is required for `{request.strategy}`.")
    if request.strategy == "fill_to":
        if target != int(target):
            raise _invalid_target("invalid", "`target` must be an integer for `fill_to`.")
        return dict.fromkeys(real, int(target))
    return {name: round(target * count) for name, count in real.items()}


def _invalid_target(code: str, message: str) -> ValidationFailed:
    return ValidationFailed(message, field_errors=[FieldError("/target", code, message)])


def _model(
    session: Session, tenant_id: str, request: AugmentationRequest, dataset: Dataset
) -> Model | None:
    """Return the requested model; raise Conflict if its samples do not fit the dataset."""
    if request.model is None:
        return None
    model = model_registry.get(session, tenant_id, request.model)
    evaluation.require_quality_gate(session, model, ignore_quality_gate=request.ignore_quality_gate)
    reference = f"{model.name}:{model.version}"
    if model.modality != dataset.modality:
        raise Conflict(
            f"The modality of {reference} is {model.modality}, but that of {dataset.id} is "
            f"{dataset.modality}."
        )
    if not model.manifest["labels"]:
        raise Conflict(
            f"{reference} was trained without labels. Choose a model with labels.", code="no_labels"
        )
    if _sample_shape(model) != _dataset_shape(dataset):
        raise Conflict(
            f"{reference} generates items whose image size or columns differ from those of "
            f"{dataset.id}.",
            code="shape_mismatch",
        )
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
    request: AugmentationRequest, dataset: Dataset, model: Model | None, seed: int
) -> tuple[float, int]:
    """Return the fraction and the seed of the holdout.

    With a `model` of this dataset, they are those of its training, so that the model has not seen
    the items that its samples are evaluated on.
    """
    if model is not None:
        if request.holdout_fraction != "auto":
            message = (
                "`holdout_fraction` must be `auto` with a model of this dataset, because the "
                "holdout of its training is used."
            )
            field_error = FieldError("/holdout_fraction", "conflict", message)
            raise ValidationFailed(message, field_errors=[field_error])
        config = model.manifest["training"]
        return float(config["holdout_fraction"]), int(config["seed"])
    if request.holdout_fraction != "auto":
        return request.holdout_fraction, seed
    return (0.0 if dataset.summary["n_test"] else DEFAULT_HOLDOUT_FRACTION), seed


def _has_no_numeric_columns(dataset: Dataset) -> bool:
    schema = Schema.from_dict(dataset.summary)
    numeric_types = ("integer", "number", "datetime")
    return not any(column.learned and column.type in numeric_types for column in schema.columns)


@dataclass(frozen=True)
class ItemCounts:
    """Number of items of a dataset by their use."""

    train: list[int]  # by label
    holdout: int
    unlabeled: int
    holdout_per_label: list[int] | None  # None if the holdout is the published test split


def _count_items(dataset: Dataset, n_labels: int, holdout_fraction: float, seed: int) -> ItemCounts:
    try:
        labels = modalities.get(dataset.modality).read_labels(dataset, get_storage())
    except ObjectCorrupted as error:
        raise Conflict(
            f"The dataset cannot be read: {error}. Upload it again.", code="dataset_unreadable"
        ) from error
    train, holdout = split.holdout_split(dataset.modality, labels, holdout_fraction, seed)
    train_labels, holdout_labels = labels[train], labels[holdout]
    # The label -1 marks items without a label.
    train_counts = np.bincount(train_labels[train_labels >= 0], minlength=n_labels).tolist()
    unlabeled, published = int((labels < 0).sum()), dataset.summary["n_test"]
    if published:
        return ItemCounts(train_counts, published, unlabeled, None)
    holdout_counts = np.bincount(holdout_labels[holdout_labels >= 0], minlength=n_labels).tolist()
    return ItemCounts(train_counts, sum(holdout_counts), unlabeled, holdout_counts)


def _sources(request: AugmentationRequest, model: Model | None, dataset: Dataset) -> SourceShares:
    default_shares = {"model": 0.5, "transforms": 0.5} if model is not None else {"transforms": 1.0}
    shares = dict(request.sources) if request.sources is not None else default_shares
    total = sum(shares.values())
    if not total:
        message = "`sources` must give at least one source a share above 0."
        field_error = FieldError("/sources", "invalid", message)
        raise ValidationFailed(message, field_errors=[field_error])
    if shares.get("model") and model is None:
        message = "`model` is required when `sources.model` is above 0."
        field_error = FieldError("/model", "missing", message)
        raise ValidationFailed(message, field_errors=[field_error])
    names = [label["name"] for label in model.manifest["labels"]] if model is not None else []
    # SMOTE interpolates between two rows of a label.
    min_real_items = MIN_ROWS_PER_LABEL if dataset.modality == "tabular" else 1
    model_share, transforms_share = (
        shares.get(source, 0.0) / total for source in ("model", "transforms")
    )
    return SourceShares(model_share, transforms_share, frozenset(names), min_real_items)


def _transforms(request: AugmentationRequest, dataset: Dataset) -> Sequence[Transform]:
    if dataset.modality == "tabular":
        if request.transforms != "auto":
            message = "`transforms` must be `auto` for tables, which are augmented by SMOTE."
            field_error = FieldError("/transforms", "not_allowed", message)
            raise ValidationFailed(message, field_errors=[field_error])
        return ()
    channels = dataset.summary["channels"]
    if request.transforms == "auto":
        return default_transforms(channels)
    return [_transform(i, transform, channels) for i, transform in enumerate(request.transforms)]


def _transform(index: int, request: TransformRequest, channels: int) -> Transform:
    bounds = RANGES[request.name]
    if channels == 1 and request.name in COLOR_TRANSFORMS:
        message = f"`{request.name}` needs color images, but the dataset is grayscale."
        field_error = FieldError(f"/transforms/{index}/name", "not_allowed", message)
        raise ValidationFailed(message, field_errors=[field_error])
    if request.max_magnitude is not None and request.max_magnitude > bounds.limit:
        message = (
            f"`max_magnitude` of `{request.name}` must be at most {bounds.limit:g} ({bounds.unit})."
        )
        field_error = FieldError(f"/transforms/{index}/max_magnitude", "out_of_range", message)
        raise ValidationFailed(message, field_errors=[field_error])
    return Transform(
        request.name, bounds.default if request.max_magnitude is None else request.max_magnitude
    )


def _check_size(spec: AugmentationSpec) -> None:
    limits = get_settings().limits
    is_image = spec.modality == "image"
    minimum, maximum = (
        (limits.images_min, limits.images_max) if is_image else (limits.rows_min, limits.rows_max)
    )
    if not spec.synthetic:
        reasons = _join_reasons(reason for label in spec.labels for reason in label.skip_reasons)
        why = reasons or "every label already has its target number of items"
        raise Conflict(f"There is nothing to generate: {why}.", code="nothing_to_augment")
    if not minimum <= spec.items <= maximum:
        raise ValidationFailed(
            f"The augmented dataset would have {spec.items} items. It must have {minimum} to "
            f"{maximum}.",
            code="too_many_items" if spec.items > maximum else "too_few_items",
            limit=maximum if spec.items > maximum else minimum,
        )


def _check_lift_possible(spec: AugmentationSpec, dataset: Dataset, holdout_items: int) -> None:
    """Raise Conflict if the dataset is too small or too large for `evaluate_lift`."""
    if holdout_items < MIN_HOLDOUT_ITEMS:
        raise Conflict(
            f"`evaluate_lift` needs at least {MIN_HOLDOUT_ITEMS} holdout items, but there are "
            f"{holdout_items}. Increase `holdout_fraction`.",
            code="too_few_holdout_items",
        )
    if sum(label.real > 0 for label in spec.labels) < 2:
        raise Conflict(
            "`evaluate_lift` needs at least two labels with real items.", code="too_few_labels"
        )
    if spec.modality == "image":
        image_bytes = math.prod(dataset.summary[side] for side in ("height", "width", "channels"))
        max_images = MAX_EVALUATION_BYTES // image_bytes
        real = sum(label.real for label in spec.labels)
        # Synthetic images count twice: they are evaluated together and for each source alone.
        if real + 2 * spec.synthetic > max_images:
            raise Conflict(
                f"`evaluate_lift` supports at most {max_images} images of this size, where "
                "synthetic images count twice.",
                code="too_many_to_evaluate",
            )


def _warnings(spec: AugmentationSpec) -> list[WarningView]:
    warnings = [
        WarningView(
            code="items_skipped",
            message=f"{label.skipped} of {label.requested} items of {label.name} are skipped: "
            f"{_join_reasons(label.skip_reasons)}.",
        )
        for label in spec.labels
        if label.skipped
    ]
    real = sum(label.real for label in spec.labels)
    if spec.synthetic > real:
        warnings.append(
            WarningView(
                code="mostly_synthetic",
                message=f"{spec.synthetic} synthetic items are based on {real} real items.",
            )
        )
    return warnings


def _join_reasons(reasons: Iterable[SkipReason]) -> str:
    messages = [reason.message.removesuffix(".") for reason in reasons]
    return "; ".join(message[0].lower() + message[1:] for message in dict.fromkeys(messages))
