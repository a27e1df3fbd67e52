"""The device of this worker process, and the loss of its GPU."""

from core.devices import DeviceKind, kind_of
from core.settings import get_settings
from models import device as devices


class DeviceLost(Exception):
    """This process cannot use its GPU any more: its job goes back to the queue, and it exits."""


def kind() -> DeviceKind:
    return kind_of(get_settings().device)


def require() -> str:
    """Return the name of the device that the jobs of this process run on: `cpu` or `cuda:N`.

    Raises:
        DeviceLost: The GPU does not exist, or torch cannot use it.
    """
    name = get_settings().device
    try:
        return str(devices.resolve_device(name if kind() is DeviceKind.GPU else "cpu"))
    except devices.DeviceUnavailable as error:
        raise DeviceLost(str(error)) from error


def is_lost(error: BaseException) -> bool:
    """Return True if the error, or one that caused it, shows that the GPU cannot be used."""
    if kind() is not DeviceKind.GPU:
        return False
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DeviceLost) or devices.is_broken_context(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
