"""Plans of items by label and index, for modalities whose items are selected by label only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from modalities.sampling import Json, SelectionPlan
from modalities.selection import Selection, check_selection, count_labels
from models.sampling_plan import LabelRange, LabelSamplingPlan, plan_by_count, plan_by_label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LabeledBatch:
    """N generated items."""

    labels: "NDArray[np.int64]"  # (N,) indices into the labels of the manifest
    items: Any  # the modality's own type
    acceptance_rate: float | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LabelPlan(SelectionPlan):
    """Items by label and index. A subclass has the formats and the encoder."""

    manifest: Json
    indices: LabelSamplingPlan

    @classmethod
    def select(cls, manifest: Json, selection: Selection, seed: int) -> Self:
        """Plan a selection; see modalities.sampling.Sampling.plan_selection."""
        check_selection(selection)
        weights = tuple(float(label["count"]) for label in manifest["labels"])
        offset = selection.offset
        if selection.count is not None:
            indices = plan_by_count(
                selection.count,
                seed=seed,
                offset=offset,
                label_weights=weights,
                balance_labels=selection.balance_labels,
            )
        else:
            number = {label["name"]: i for i, label in enumerate(manifest["labels"])}
            counts = count_labels(manifest, selection.labels or {})
            indices = plan_by_label(
                {number[name]: n for name, n in counts.items()},
                seed=seed,
                offset=offset,
                label_weights=weights,
            )
        return cls(manifest, indices)

    @classmethod
    def read(cls, manifest: Json, plan: Json, seed: int) -> Self:
        """Return the plan of which `plan` is the dictionary."""
        ranges = tuple(LabelRange(**index_range) for index_range in plan["ranges"])
        weights = tuple(float(label["count"]) for label in manifest["labels"])
        return cls(manifest, LabelSamplingPlan(ranges, seed, weights, plan["balance_labels"]))

    @property
    def count(self) -> int:
        return self.indices.count

    @property
    def label_names(self) -> list[str]:
        return [label["name"] for label in self.manifest["labels"]]

    def slice(self, start: int, stop: int) -> Self:
        return replace(self, indices=self.indices.slice(start, stop))

    def to_dict(self) -> Json:
        return {
            "ranges": [asdict(index_range) for index_range in self.indices.ranges],
            "balance_labels": self.indices.balance_labels,
        }

    def count_labels(self, batch: LabeledBatch) -> Mapping[str, int]:
        import numpy as np  # slow to load

        names = self.label_names
        if not names:
            return {}
        labels, counts = np.unique(batch.labels, return_counts=True)
        return {names[label]: n for label, n in zip(labels.tolist(), counts.tolist(), strict=True)}


class LabelSelection:
    """Methods of modalities.sampling.Sampling whose plans are of `plan_class`."""

    plan_class: type[LabelPlan]

    def plan_selection(
        self,
        manifest: Json,
        selection: Selection,
        options: object,  # noqa: ARG002 - a part of the interface
        seed: int,
    ) -> LabelPlan:
        return self.plan_class.select(manifest, selection, seed)

    def read_plan(self, manifest: Json, plan: Json, seed: int) -> LabelPlan:
        return self.plan_class.read(manifest, plan, seed)
