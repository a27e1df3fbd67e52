"""Python client of the Semblance service, which trains on labeled data and generates samples.

model = semblance.fit(table, target="income")     # a DataFrame, arrays, images or a file
rows = model.sample({">50K": 1000})               # a DataFrame of synthetic rows

`Client` and `AsyncClient` have a method for each operation of the service.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semblance._async.client import AsyncClient
    from semblance._sync.client import Client
    from semblance.errors import (
        APIError,
        ChecksumError,
        ConfigurationError,
        ContentChangedError,
        JobFailedError,
        SemblanceError,
        UnreachableError,
    )
    from semblance.notebook.objects import Dataset, ImageModel, Job, Model, Report, TableModel
    from semblance.notebook.samples import Samples
    from semblance.notebook.service import Service, connect, fit, local

# Names are imported when they are used: the HTTP library alone takes 0.1 seconds.
_MODULES = {
    "AsyncClient": "semblance._async.client",
    "Client": "semblance._sync.client",
    "APIError": "semblance.errors",
    "ChecksumError": "semblance.errors",
    "ConfigurationError": "semblance.errors",
    "ContentChangedError": "semblance.errors",
    "JobFailedError": "semblance.errors",
    "SemblanceError": "semblance.errors",
    "UnreachableError": "semblance.errors",
    "Dataset": "semblance.notebook.objects",
    "ImageModel": "semblance.notebook.objects",
    "Job": "semblance.notebook.objects",
    "Model": "semblance.notebook.objects",
    "Report": "semblance.notebook.objects",
    "TableModel": "semblance.notebook.objects",
    "Samples": "semblance.notebook.samples",
    "Service": "semblance.notebook.service",
    "connect": "semblance.notebook.service",
    "fit": "semblance.notebook.service",
    "local": "semblance.notebook.service",
}
__all__ = [
    "APIError",
    "AsyncClient",
    "ChecksumError",
    "Client",
    "ConfigurationError",
    "ContentChangedError",
    "Dataset",
    "ImageModel",
    "Job",
    "JobFailedError",
    "Model",
    "Report",
    "Samples",
    "SemblanceError",
    "Service",
    "TableModel",
    "UnreachableError",
    "connect",
    "fit",
    "local",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
