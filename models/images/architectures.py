"""The networks that `hyperparameters.architecture` chooses from, and what their settings come to.

Free of torch. Packages that are installed beside the service may bring more (models.plugins).
"""

from collections.abc import Mapping
from typing import Any

from models import plugins
from models.images.adversarial import settings as adversarial
from models.images.adversarial.settings import AdversarialSettings
from models.images.settings import DATA_FIELDS, ImageData, ImageSettings
from models.images.vae_gan import settings as vae_gan
from models.images.vae_gan.settings import VaeGanSettings
from models.settings import InvalidSettings, StepCost, check_bounds

# What makes the shapes of networks, and so must stay where weights are taken over.
NETWORK_FIELDS = (
    "architecture",
    "latent_dim",
    "coarse_channels",
    "fine_channels",
    "residual_blocks",
    "generator_width",
    "critic_width",
    "critic_norm",
    "feature_width",
)


def available_architectures() -> tuple[str, ...]:
    """The first is what `auto` comes to."""
    shipped = (*vae_gan.ARCHITECTURES, *adversarial.ARCHITECTURES)
    return (*shipped, *plugins.registered_names(plugins.NETWORKS))


def available_losses() -> tuple[str, ...]:
    shipped = ("relativistic", "non_saturating", "minimax", "least_squares", "hinge")
    return (*shipped, *plugins.registered_names(plugins.LOSSES))


def resolve(data: ImageData, preset: str, explicit: Mapping[str, Any]) -> ImageSettings:
    """Fill in what was not chosen. Raises InvalidSettings."""
    architecture = explicit.get("architecture", "vae_gan")
    if architecture not in available_architectures():
        raise InvalidSettings("architecture", f"known are {', '.join(available_architectures())}")
    is_vae_gan = architecture in vae_gan.ARCHITECTURES
    kind: type[ImageSettings] = VaeGanSettings if is_vae_gan else AdversarialSettings
    rules = vae_gan if is_vae_gan else adversarial
    values = rules.defaults(data, preset, architecture) | {
        "architecture": architecture,
        **{name: getattr(data, name) for name in DATA_FIELDS},
    }
    for name in explicit:
        if name not in values:
            raise InvalidSettings(name, f"{architecture!r} has no such setting")
    settings = kind(**{**values, **explicit})
    check_bounds(settings)
    _check_loss(settings)
    rules.check(settings)
    return settings


def _check_loss(settings: ImageSettings) -> None:
    if settings.architecture == "cvae":
        if settings.loss != "elbo":
            raise InvalidSettings("loss", "'cvae' has no critic, and one loss: 'elbo'")
    elif settings.loss not in available_losses():
        raise InvalidSettings("loss", f"known are {', '.join(available_losses())}")


def settings_from_dict(values: Mapping[str, Any]) -> ImageSettings:
    """Resolved settings as they were stored."""
    kind = (
        VaeGanSettings if values["architecture"] in vae_gan.ARCHITECTURES else AdversarialSettings
    )
    return kind(**values)


def estimate_cost(settings: ImageSettings) -> StepCost:
    if isinstance(settings, VaeGanSettings):
        return vae_gan.cost(settings)
    assert isinstance(settings, AdversarialSettings)  # noqa: S101 - there are two kinds
    return adversarial.cost(settings)
