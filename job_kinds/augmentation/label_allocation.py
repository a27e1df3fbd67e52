"""Number of synthetic items of each label, divided between the sources."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.augmentation import LabelPlan, SkipReason
from core.errors import ValidationFailed
from job_kinds.augmentation.request import AugmentationRequest
from models.split import apportion


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
    return ValidationFailed.of_field("/target", code, message)
