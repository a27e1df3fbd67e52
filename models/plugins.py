"""Networks and losses that other installed packages register as entry points.

The group `semblance.image_networks` holds models.images.adversarial.networks.NetworkFactory
objects; the group `semblance.losses` holds models.losses.AdversarialLoss objects. Listing the names
does not import torch; loading an entry point does.
"""

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

T = TypeVar("T")

NETWORKS, LOSSES = "semblance.image_networks", "semblance.losses"


@functools.cache  # reads a file of every installed package, which takes milliseconds
def installed(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def registered_names(group: str) -> tuple[str, ...]:
    return tuple(sorted(point.name for point in installed(group)))


def load(group: str, name: str, expected_type: type[T]) -> T:
    """Load a registered object.

    Raises:
        KeyError: No installed package registers the name.
        TypeError: The object is not of the expected type.
    """
    point = next((point for point in installed(group) if point.name == name), None)
    if point is None:
        raise KeyError(f"No installed package provides {name!r}.")
    plugin = point.load()
    if not isinstance(plugin, expected_type):
        raise TypeError(f"The entry point {name!r} must be of type {expected_type.__name__}.")
    return plugin
