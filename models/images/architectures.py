"""The networks that `config.architecture` chooses from, and what their settings come to.

Free of torch. Packages that are installed beside the service may bring more (models.plugins).
"""

from collections.abc import Mapping
from typing import Any

from models import plugins
from models.images.adversarial import settings as adversarial
from models.images.adversarial.settings import AdversarialSettings
from models.images.guided import settings as guided
from models.images.guided.settings import GuidedSettings
from models.images.settings import OF_THE_DATA, ImageData, ImageSettings
from models.settings import Cost, InvalidSettings, check

# What makes the shapes of networks, and so must stay where weights are taken over.
OF_THE_NETWORKS = (
    "architecture",
    "noise",
    "coarse_width",
    "fine_width",
    "blocks",
    "generator_width",
    "critic_width",
    "critic_norm",
    "feature_width",
)


def architectures() -> tuple[str, ...]:
    """The first is what `auto` comes to."""
    shipped = (*guided.ARCHITECTURES, *adversarial.ARCHITECTURES)
    return (*shipped, *plugins.registered(plugins.NETWORKS))


def losses() -> tuple[str, ...]:
    shipped = ("relativistic", "non_saturating", "minimax", "least_squares", "hinge")
    return (*shipped, *plugins.registered(plugins.LOSSES))


def resolve(data: ImageData, preset: str, explicit: Mapping[str, Any]) -> ImageSettings:
    """Fill in what was not chosen. Raises InvalidSettings."""
    architecture = explicit.get("architecture", "guided")
    if architecture not in architectures():
        raise InvalidSettings("architecture", f"known are {', '.join(architectures())}")
    is_guided = architecture in guided.ARCHITECTURES
    kind: type[ImageSettings] = GuidedSettings if is_guided else AdversarialSettings
    rules = guided if is_guided else adversarial
    values = rules.defaults(data, preset, architecture) | {
        "architecture": architecture,
        **{name: getattr(data, name) for name in OF_THE_DATA},
    }
    for name in explicit:
        if name not in values:
            raise InvalidSettings(name, f"{architecture!r} has no such setting")
    settings = kind(**{**values, **explicit})
    check(settings)
    _check_loss(settings)
    rules.check(settings)
    return settings


def _check_loss(settings: ImageSettings) -> None:
    if settings.architecture == "cvae":
        if settings.loss != "likelihood":
            raise InvalidSettings("loss", "'cvae' has no critic, and one loss: 'likelihood'")
    elif settings.loss not in losses():
        raise InvalidSettings("loss", f"known are {', '.join(losses())}")


def settings_of(values: Mapping[str, Any]) -> ImageSettings:
    """Resolved settings as they were stored."""
    kind = GuidedSettings if values["architecture"] in guided.ARCHITECTURES else AdversarialSettings
    return kind(**values)


def cost(settings: ImageSettings) -> Cost:
    if isinstance(settings, GuidedSettings):
        return guided.cost(settings)
    assert isinstance(settings, AdversarialSettings)  # noqa: S101 - there are two kinds
    return adversarial.cost(settings)
