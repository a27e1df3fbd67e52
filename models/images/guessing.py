"""Labels for images that came without one, from those that have one."""

import numpy as np
import torch

from models.images.data import LabelledImages
from models.images.features import FeatureNetwork

SURE = 0.8  # chance that the classifier gives a label before it is believed
MOST = 20_000  # images that it looks at
AT_ONCE = 500


@torch.no_grad()
def guess_labels(features: FeatureNetwork, data: LabelledImages, seed: int) -> int:
    """Unlabelled images of whose label the classifier is sure are learned from as if they had it
    (pseudo-labels, Lee 2013); the others stay out. How many there are.

    The same at each call with the same features: a run that is resumed finds the same labels.
    """
    if features.frozen is None or not features.tells_labels or not len(data.unlabelled):
        return 0
    order = np.random.default_rng((seed, 3)).permutation(len(data.unlabelled))[:MOST]
    places = data.unlabelled[np.sort(order)]
    sure, guessed = [], []
    for at in range(0, len(places), AT_ONCE):
        images, _ = data.batch(places[at : at + AT_ONCE])
        chance, label = features.frozen(images).softmax(1).max(1)
        sure.append(chance.numpy() >= SURE)
        guessed.append(label.numpy())
    believed = np.concatenate(sure)
    data.tell(places[believed], np.concatenate(guessed)[believed])
    return int(believed.sum())
