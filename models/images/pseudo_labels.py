"""Labels for images that came without one, from those that have one."""

import numpy as np
import torch

from models.images.data import LabeledImages
from models.images.feature_extractor import FeatureNetwork

MIN_CONFIDENCE = 0.8  # chance that the classifier gives a label before it is believed
MAX_IMAGES = 20_000  # images that it looks at
BATCH_SIZE = 500


@torch.no_grad()
def assign_pseudo_labels(features: FeatureNetwork, data: LabeledImages, seed: int) -> int:
    """Unlabelled images of whose label the classifier is sure are learned from as if they had it
    (pseudo-labels, Lee 2013); the others stay out. How many there are.

    The same at each call with the same features: a run that is resumed finds the same labels.
    """
    if features.frozen is None or not features.predicts_labels or not len(data.unlabeled):
        return 0
    order = np.random.default_rng((seed, 3)).permutation(len(data.unlabeled))[:MAX_IMAGES]
    places = data.unlabeled[np.sort(order)]
    sure, guessed = [], []
    for at in range(0, len(places), BATCH_SIZE):
        images, _ = data.batch(places[at : at + BATCH_SIZE])
        chance, label = features.frozen(images).softmax(1).max(1)
        sure.append(chance.numpy() >= MIN_CONFIDENCE)
        guessed.append(label.numpy())
    believed = np.concatenate(sure)
    data.assign_labels(places[believed], np.concatenate(guessed)[believed])
    return int(believed.sum())
