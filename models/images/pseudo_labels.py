"""Pseudo-labels for unlabeled images (Lee 2013)."""

import numpy as np
import torch
from torch import Tensor

from models.images.data import LabeledImages
from models.images.feature_extractor import FeatureNetwork
from models.microbatch import apply_in_parts

MIN_CONFIDENCE = 0.8  # probability of the predicted label
MAX_IMAGES = 20_000  # unlabeled images that are classified
BATCH_SIZE = 500


@torch.no_grad()
def assign_pseudo_labels(features: FeatureNetwork, data: LabeledImages, seed: int) -> int:
    """Add the images with a confident prediction to the training split; return their number.

    All other unlabeled images are dropped. The result depends on the features and the seed only, so
    a resumed run assigns the same labels.
    """
    if features.frozen is None or not features.predicts_labels or not len(data.unlabeled):
        return 0
    order = np.random.default_rng((seed, 3)).permutation(len(data.unlabeled))[:MAX_IMAGES]
    candidates = data.unlabeled[np.sort(order)]
    frozen = features.frozen

    def predict(index: Tensor) -> Tensor:
        return frozen(data.batch(index.numpy())[0]).softmax(1).cpu()

    is_confident, predictions = [], []
    for start in range(0, len(candidates), BATCH_SIZE):
        index = torch.from_numpy(candidates[start : start + BATCH_SIZE])
        confidence, label = apply_in_parts(predict, index, device=data.device).max(1)
        is_confident.append(confidence.numpy() >= MIN_CONFIDENCE)
        predictions.append(label.numpy())
    accepted = np.concatenate(is_confident)
    data.assign_labels(candidates[accepted], np.concatenate(predictions)[accepted])
    return int(accepted.sum())
