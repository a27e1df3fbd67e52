"""Planning of augmentation jobs: the number of items of each label and source."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from core import evaluation, model_registry
from core.augmentation import MIN_HOLDOUT_ITEMS, AugmentationSpec, SkipReason
from core.database import read
from core.datasets import repository as datasets
from core.errors import Conflict, ValidationFailed
from core.jobs import NewJob
from core.storage import ObjectCorrupted, get_storage
from core.tables import Dataset, JobKind, Model
from job_kinds.augmentation.label_allocation import SourceShares, allocate
from job_kinds.augmentation.request import AugmentationPlan, AugmentationRequest
from job_kinds.request import WarningView
from modalities import registry

MIN_HOLDOUT_ITEMS_PER_LABEL = 10  # with fewer, the lift of a label is mostly noise
DEFAULT_HOLDOUT_FRACTION = 0.1  # of a dataset without a test split, for a job without a model


def plan(tenant_id: str, request: AugmentationRequest, seed: int) -> NewJob | AugmentationPlan:
    """Resolve every setting of an augmentation job.

    Raises:
        ValidationFailed: The request does not fit the dataset or the model.
        Conflict: The dataset or the model is in the wrong state, or too small.
    """
    with read() as session:
        spec, warnings = _resolve(session, tenant_id, request, seed)
    if request.validate_only:
        return AugmentationPlan(
            resolved=spec.model_dump(mode="json"),
            labels=spec.labels,
            items=spec.items,
            synthetic=spec.synthetic,
            warnings=warnings,
        )
    return NewJob(
        JobKind.AUGMENTATION,
        spec.name,
        spec.dataset,
        request.model_dump(mode="json", exclude_unset=True),
        spec.model_dump(mode="json"),
        queue="evaluation",  # a similar load: sampling and small classifiers
        model_id=spec.model,
        tags=request.tags,
        priority=request.priority,
        device=request.device,
        warnings=[warning.model_dump() for warning in warnings],
    )


def _resolve(
    session: Session, tenant_id: str, request: AugmentationRequest, seed: int
) -> tuple[AugmentationSpec, list[WarningView]]:
    dataset = datasets.get_ready(session, tenant_id, request.dataset)
    modality = registry.augmentation_of(dataset.modality)
    names = [label["name"] for label in dataset.summary["labels"]]
    if not names:
        message = "`dataset` must name a dataset with labels."
        raise ValidationFailed.of_field("/dataset", "no_labels", message)
    options = registry.own_options(request, registry.get(dataset.modality), "augmentation_options")
    rules = modality.augmentation_rules(dataset.summary, options)
    model = _model(session, tenant_id, request, dataset)
    trained_on_dataset = model is not None and _trained_on(model, dataset)
    holdout_fraction, holdout_seed = _holdout_split(
        request, dataset, model if trained_on_dataset else None, seed
    )
    counts = _count_items(dataset, len(names), holdout_fraction, holdout_seed)
    sources = _sources(request, model, modality.min_real_items)
    labels = allocate(request, dict(zip(names, counts.train, strict=True)), sources)
    spec = AugmentationSpec(
        dataset=dataset.id,
        modality=dataset.modality,
        name=request.name or f"{dataset.name} augmented",
        model=model.id if model is not None else None,
        reference=f"{model.name}:{model.version}" if model is not None else None,
        strategy=request.strategy,
        labels=labels,
        transforms=list(rules.transforms),
        include_real=request.include_real,
        holdout_fraction=holdout_fraction,
        holdout_seed=holdout_seed,
        seed=seed,
        evaluate_lift=request.evaluate_lift,
        lift_cpu_seconds=request.lift_cpu_seconds,
    )
    _check_size(spec, rules.item_limits)
    warnings = _warnings(spec)
    if spec.evaluate_lift:
        _check_lift_possible(spec, rules.max_lift_items, counts.holdout)
        warnings += [
            WarningView(
                code="few_holdout_items",
                message=f"{name} has only {count} holdout items. Its lift will be mostly noise.",
            )
            for name, count in zip(names, counts.holdout_per_label or [], strict=False)
            if count < MIN_HOLDOUT_ITEMS_PER_LABEL
        ]
    if any(label.transforms for label in labels):
        warnings += [
            WarningView(code=code, message=message)
            for code, message in rules.transform_warnings.items()
        ]
    if counts.unlabeled:
        warnings.append(
            WarningView(
                code="unlabeled_items",
                message=f"{counts.unlabeled} items without a label are left out.",
            )
        )
    warnings += _holdout_warnings(names, counts, can_choose=not trained_on_dataset)
    if model is not None:
        warnings += _model_warnings(session, model, trained_on_dataset=trained_on_dataset)
    return spec, warnings


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
    modality = registry.augmentation_of(dataset.modality)
    if not modality.samples_fit(model.manifest, dataset.summary):
        raise Conflict(
            f"{reference} generates items whose image size or columns differ from those of "
            f"{dataset.id}.",
            code="shape_mismatch",
        )
    return model


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
            raise ValidationFailed.of_field("/holdout_fraction", "conflict", message)
        config = model.manifest["training"]
        return float(config["holdout_fraction"]), int(config["seed"])
    if request.holdout_fraction != "auto":
        return request.holdout_fraction, seed
    return (0.0 if dataset.summary["n_test"] else DEFAULT_HOLDOUT_FRACTION), seed


@dataclass(frozen=True)
class ItemCounts:
    """Number of items of a dataset by their use."""

    train: list[int]  # by label
    holdout: int
    unlabeled: int
    holdout_per_label: list[int] | None  # None if the holdout is the published test split


def _count_items(dataset: Dataset, n_labels: int, holdout_fraction: float, seed: int) -> ItemCounts:
    modality = registry.augmentation_of(dataset.modality)
    try:
        labels = modality.read_labels(dataset, get_storage())
    except ObjectCorrupted as error:
        raise Conflict(
            f"The dataset cannot be read: {error}. Upload it again.", code="dataset_unreadable"
        ) from error
    train, holdout = modality.holdout_split(labels, holdout_fraction, seed)
    train_labels, holdout_labels = labels[train], labels[holdout]
    # The label -1 marks items without a label.
    train_counts = np.bincount(train_labels[train_labels >= 0], minlength=n_labels).tolist()
    unlabeled, published = int((labels < 0).sum()), dataset.summary["n_test"]
    if published:
        return ItemCounts(train_counts, published, unlabeled, None)
    holdout_counts = np.bincount(holdout_labels[holdout_labels >= 0], minlength=n_labels).tolist()
    return ItemCounts(train_counts, sum(holdout_counts), unlabeled, holdout_counts)


def _sources(
    request: AugmentationRequest, model: Model | None, min_real_items: int
) -> SourceShares:
    default_shares = {"model": 0.5, "transforms": 0.5} if model is not None else {"transforms": 1.0}
    shares = dict(request.sources) if request.sources is not None else default_shares
    total = sum(shares.values())
    if not total:
        message = "`sources` must give at least one source a share above 0."
        raise ValidationFailed.of_field("/sources", "invalid", message)
    if shares.get("model") and model is None:
        message = "`model` is required when `sources.model` is above 0."
        raise ValidationFailed.of_field("/model", "missing", message)
    names = [label["name"] for label in model.manifest["labels"]] if model is not None else []
    model_share, transforms_share = (
        shares.get(source, 0.0) / total for source in ("model", "transforms")
    )
    return SourceShares(model_share, transforms_share, frozenset(names), min_real_items)


def _check_size(spec: AugmentationSpec, limits: tuple[int, int]) -> None:
    minimum, maximum = limits
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


def _check_lift_possible(spec: AugmentationSpec, max_items: int | None, holdout_items: int) -> None:
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
    real = sum(label.real for label in spec.labels)
    if max_items is not None and real + 2 * spec.synthetic > max_items:
        raise Conflict(
            f"`evaluate_lift` supports at most {max_items} items of this size, where synthetic "
            "items count twice.",
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


def _holdout_warnings(
    names: Sequence[str], counts: ItemCounts, *, can_choose: bool
) -> list[WarningView]:
    """Say how many real items are missing in the new dataset, and why."""
    held_out = dict(zip(names, counts.holdout_per_label or [], strict=False))
    if not sum(held_out.values()):
        return []
    largest = sorted(held_out.items(), key=lambda item: -item[1])[:5]
    listed = ", ".join(f"{name}: {count:,}" for name, count in largest if count)
    more = ", …" if sum(map(bool, held_out.values())) > len(largest) else ""
    reason = (
        "so that its benefit can be measured on them. Set `holdout_fraction` to 0 to use all items."
        if can_choose
        else "because the training of the model held them out."
    )
    total = sum(counts.train) + sum(held_out.values())
    message = (
        f"{sum(held_out.values()):,} of {total:,} real items are not in the new dataset "
        f"({listed}{more}), {reason}"
    )
    return [WarningView(code="items_held_out", message=message)]


_QUALITY_MESSAGES = {
    "poor": "is of poor quality. Its report has the reasons.",
    "not_evaluated": "has not been evaluated, so the quality of its samples is unknown.",
}


def _model_warnings(
    session: Session, model: Model, *, trained_on_dataset: bool
) -> list[WarningView]:
    warnings = []
    quality = evaluation.quality_of(session, model).quality
    if quality != "good":
        warnings.append(
            WarningView(
                code=f"model_{quality}",
                message=f"{model.name}:{model.version} {_QUALITY_MESSAGES[quality]}",
            )
        )
    if not trained_on_dataset:
        warnings.append(
            WarningView(
                code="dataset_mismatch",
                message="The model was trained on another dataset and may have seen the holdout "
                "items.",
            )
        )
    return warnings


def _join_reasons(reasons: Iterable[SkipReason]) -> str:
    messages = [reason.message.removesuffix(".") for reason in reasons]
    return "; ".join(message[0].lower() + message[1:] for message in dict.fromkeys(messages))
