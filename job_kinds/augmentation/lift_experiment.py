"""Lift of an augmentation job: training runs within a CPU budget, and the report on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.augmentation import AugmentationSpec
from modalities.augmentation import AugmentationInput, Augmenter
from models.augmentation import learning_curve, lift
from models.augmentation.lift import Lift, TrainClassifier, TrainingResult
from models.augmentation.training_sets import LabelCounts, TrainingPool


@dataclass(frozen=True)
class LiftExperiment:
    """Inputs of the lift measurement. `true_labels` are those of the held-out items, (M,)."""

    spec: AugmentationSpec
    pool: TrainingPool
    train_classifier: TrainClassifier
    true_labels: NDArray[np.int64]

    @classmethod
    def prepare(
        cls, job: AugmentationInput, augmenter: Augmenter, min_real_items: int
    ) -> "LiftExperiment":
        """Generate the pool of items that the classifiers are trained on.

        It includes all real items: the model was trained on all of them, so comparing it with
        fewer real items would overrate it.
        """
        model_labels = (
            {label["name"] for label in job.model.manifest["labels"]} if job.model else set()
        )
        counts = [
            LabelCounts(
                label.transforms,
                label.model,
                label.real >= min_real_items,
                label.name in model_labels,
            )
            for label in job.spec.labels
        ]
        pool = TrainingPool.build(job.labels[job.train].astype(np.int64), counts)
        # In the order of `pool.labels`: real, then transformed items, then samples.
        chunks = list(augmenter.real(job.train))
        for label, count in enumerate(pool.transform_counts):
            if count:
                chunks += [items for items, _ in augmenter.transform(label, count)]
        for label, count in enumerate(pool.model_counts):
            if count:
                chunks += augmenter.sample(label, count)
        return cls(job.spec, pool, *augmenter.prepare_lift(pool, chunks))

    def run(
        self,
        done: Sequence[dict[str, Any]],
        has_time: Callable[[], bool],
        save: Callable[[list[dict[str, Any]]], None],
    ) -> dict[str, Any]:
        """Train classifiers after those in `done`, while `has_time()`; return the report."""
        results = lift.run_trainings(
            self.pool.sets,
            self.pool.labels,
            self.train_classifier,
            seed=self.spec.seed,
            done=[TrainingResult.from_dict(fields, len(self.true_labels)) for fields in done],
            has_time=has_time,
            save=lambda results: save([result.to_dict() for result in results]),
        )
        return self._report(results)

    def _report(self, done: Sequence[TrainingResult]) -> dict[str, Any]:
        rounds, subset_rounds = lift.count_complete_rounds(done, len(self.pool.sets))
        if rounds < lift.MIN_ROUNDS:
            reason = (
                f"Only {rounds} complete rounds fit into `lift_cpu_seconds`, and "
                f"{lift.MIN_ROUNDS} are needed; increase it."
            )
            return {
                "lift": None,
                "learning_curve": None,
                "recommendation": {"use": None, "reason": reason},
            }
        result = Lift.from_results(done, rounds, self.true_labels)
        recommendation = lift.recommend(result)
        return {
            "lift": result.to_dict([label.name for label in self.spec.labels]),
            "learning_curve": learning_curve.equivalent_real_items(
                done, subset_rounds, self.true_labels, self.spec.seed
            )
            if subset_rounds >= lift.MIN_ROUNDS
            else None,
            "recommendation": {"use": recommendation.use, "reason": recommendation.reason},
        }
