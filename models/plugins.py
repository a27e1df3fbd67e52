"""Networks and losses of packages that are installed beside the service, by their entry points.

Free of torch until one is loaded. `semblance.image_networks` names an object with
`generator(settings)` and `critic(settings)` (models.images.adversarial.networks.Networks);
`semblance.losses` names a models.losses.AdversarialLoss.
"""

from importlib.metadata import entry_points
from typing import Any

NETWORKS, LOSSES = "semblance.image_networks", "semblance.losses"


def registered(group: str) -> tuple[str, ...]:
    return tuple(sorted(point.name for point in entry_points(group=group)))


def load(group: str, name: str) -> Any:
    """Raises KeyError when no installed package brings it."""
    for point in entry_points(group=group, name=name):
        return point.load()
    raise KeyError(f"no installed package brings {name!r}")
