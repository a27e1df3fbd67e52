"""Networks and losses of packages that are installed beside the service, by their entry points.

Free of torch until one is loaded. `semblance.image_networks` names an object with
`generator(settings)` and `critic(settings)` (models.images.adversarial.networks.Networks);
`semblance.losses` names a models.losses.AdversarialLoss.
"""

from importlib.metadata import entry_points
from typing import TypeVar

T = TypeVar("T")

NETWORKS, LOSSES = "semblance.image_networks", "semblance.losses"


def registered(group: str) -> tuple[str, ...]:
    return tuple(sorted(point.name for point in entry_points(group=group)))


def load(group: str, name: str, kind: type[T]) -> T:
    """Raises KeyError when no installed package brings it, TypeError when it is something else."""
    for point in entry_points(group=group, name=name):
        found = point.load()
        if not isinstance(found, kind):
            raise TypeError(f"{name!r} is no {kind.__name__}")
        return found
    raise KeyError(f"no installed package brings {name!r}")
