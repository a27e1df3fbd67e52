"""Networks and losses of packages that are installed beside the service, by their entry points.

Free of torch until one is loaded. `semblance.image_networks` names an object with
`generator(settings)` and `critic(settings)` (models.images.adversarial.networks.NetworkFactory);
`semblance.losses` names a models.losses.AdversarialLoss.
"""

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

T = TypeVar("T")

NETWORKS, LOSSES = "semblance.image_networks", "semblance.losses"


@functools.cache  # it reads a file of every installed package: milliseconds, at each POST of a job
def installed(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def registered_names(group: str) -> tuple[str, ...]:
    return tuple(sorted(point.name for point in installed(group)))


def load(group: str, name: str, expected_type: type[T]) -> T:
    """Raises KeyError when no installed package brings it, TypeError when it is something else."""
    point = next((point for point in installed(group) if point.name == name), None)
    if point is None:
        raise KeyError(f"no installed package brings {name!r}")
    found = point.load()
    if not isinstance(found, expected_type):
        raise TypeError(f"{name!r} is no {expected_type.__name__}")
    return found
