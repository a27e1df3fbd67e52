"""Registry of the image architectures, and resolution of their settings.

`hyperparameters.architecture` selects one of them. Other installed packages may register more
(models.plugins). This module does not import torch.
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

# These settings define the shapes of weights, so a run that starts from a model must keep them.
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
    """Return the names of all architectures. The first is the default."""
    shipped = (*vae_gan.ARCHITECTURES, *adversarial.ARCHITECTURES)
    return (*shipped, *plugins.registered_names(plugins.NETWORKS))


def available_losses() -> tuple[str, ...]:
    shipped = ("relativistic", "non_saturating", "minimax", "least_squares", "hinge")
    return (*shipped, *plugins.registered_names(plugins.LOSSES))


def resolve(data: ImageData, preset: str, explicit: Mapping[str, Any]) -> ImageSettings:
    """Add the defaults of all settings that are not in `explicit`.

    Raises:
        InvalidSettings: A setting does not exist for the architecture or has an invalid value.
    """
    architecture = explicit.get("architecture", "vae_gan")
    if architecture not in available_architectures():
        raise InvalidSettings(
            "architecture", f"`architecture` must be one of {', '.join(available_architectures())}."
        )
    is_vae_gan = architecture in vae_gan.ARCHITECTURES
    settings_class: type[ImageSettings] = VaeGanSettings if is_vae_gan else AdversarialSettings
    rules = vae_gan if is_vae_gan else adversarial
    values = rules.defaults(data, preset, architecture) | {
        "architecture": architecture,
        **{name: getattr(data, name) for name in DATA_FIELDS},
    }
    for name in explicit:
        if name not in values:
            raise InvalidSettings(
                name, f"Architecture {architecture!r} does not have the setting `{name}`."
            )
    settings = settings_class(**{**values, **explicit})
    check_bounds(settings)
    _check_loss(settings)
    rules.check(settings)
    return settings


def _check_loss(settings: ImageSettings) -> None:
    if settings.architecture == "cvae":
        if settings.loss != "elbo":
            raise InvalidSettings(
                "loss", "`loss` must be 'elbo' for architecture 'cvae', which has no critic."
            )
    elif settings.loss not in available_losses():
        raise InvalidSettings("loss", f"`loss` must be one of {', '.join(available_losses())}.")


def settings_from_dict(values: Mapping[str, Any]) -> ImageSettings:
    """Rebuild resolved settings from `ImageSettings.to_dict`."""
    settings_class = (
        VaeGanSettings if values["architecture"] in vae_gan.ARCHITECTURES else AdversarialSettings
    )
    return settings_class(**values)


def estimate_cost(settings: ImageSettings) -> StepCost:
    if isinstance(settings, VaeGanSettings):
        return vae_gan.cost(settings)
    assert isinstance(settings, AdversarialSettings)  # noqa: S101 - the only other class
    return adversarial.cost(settings)
