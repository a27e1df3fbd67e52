"""Functions of the package for notebooks: `fit`, `connect` and `local`."""

from __future__ import annotations

import atexit
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from semblance._sync.client import Client
from semblance.configuration import read_configuration
from semblance.local_server import LocalServer
from semblance.notebook.inputs import to_file
from semblance.notebook.objects import Dataset, ImageModel, Job, Report, TableModel, model_of

if TYPE_CHECKING:
    from types import TracebackType

    import pandas as pd


Preset = Literal["fast", "balanced", "quality"]


class Service:
    """A service, with training and sampling of data in memory.

    `client` has all other operations. Use it as a context manager, or call `close` at the end.
    """

    def __init__(self, client: Client, server: LocalServer | None = None) -> None:
        self.client = client
        self._server = server
        if server is not None:
            atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a service that `local` has started ends."""
        self.client.close()
        if self._server is not None:
            self._server.stop()
            atexit.unregister(self.close)
        if self in _opened:
            _opened.remove(self)

    def dataset(self, data: Any, labels: Any = None, **meta: Any) -> Dataset:
        """Upload data in memory, or a file, and return the dataset.

        `meta` takes `name`, `target` and the other options of `Client.upload`.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = to_file(data, labels, Path(folder))
            return Dataset(self.client, self.client.upload(file, **meta))

    @overload
    def fit(
        self, data: pd.DataFrame, *, target: str | None = None, **options: Any
    ) -> TableModel: ...

    @overload
    def fit(self, data: Any, labels: Any = None, **options: Any) -> Any: ...

    def fit(
        self,
        data: Any,
        labels: Any = None,
        *,
        target: str | None = None,
        name: str | None = None,
        preset: Preset = "balanced",
        **options: Any,
    ) -> Any:
        """Upload data, train a model, show the progress, and return the model.

        `data` is a DataFrame or an Arrow table, an array or tensor of images with `labels`, a
        sequence of PIL images with `labels`, a dataset of pairs of an image and a label, a path, or
        a `Dataset`. `target` is the column of a table whose values are the labels. `options` takes
        the fields of a training job, such as `budget`, `seed` and `hyperparameters`.

        Raises:
            APIError: The data or the options were rejected.
            JobFailedError: The training failed or was cancelled.
        """
        meta = {"target": target, "name": name}
        if not isinstance(data, Dataset):
            data = self.dataset(data, labels, **{k: v for k, v in meta.items() if v is not None})
        spec: Any = {"preset": preset, **({} if name is None else {"name": name}), **options}
        job = Job(self.client, self.client.train(data.id, **spec)).wait()
        result: Any = job.data["result"]
        return self.model(result["model"])

    def model(self, reference: str) -> TableModel | ImageModel:
        """Return a model by `name` (the newest version), `name:version`, `name@alias` or id."""
        return model_of(self.client, self.client.read_model(reference))

    def job(self, job_id: str) -> Job:
        return Job(self.client, self.client.read_job(job_id))

    def report(self, reference: str) -> Report:
        return Report(self.client, self.client.report(reference, wait=True))

    def models(self) -> list[TableModel | ImageModel]:
        return [model_of(self.client, model) for model in self.client.iter_models()]

    def jobs(self, **filters: Any) -> list[Job]:
        return [Job(self.client, job) for job in self.client.iter_jobs(**filters)]

    def datasets(self, **filters: Any) -> list[Dataset]:
        return [Dataset(self.client, dataset) for dataset in self.client.iter_datasets(**filters)]


_opened: list[Service] = []  # the newest one is the default of `fit`


def connect(url: str | None = None, key: str | None = None) -> Service:
    """Return a service: the given one, that of SEMBLANCE_URL, or that of `semblance login`.

    Raises:
        ConfigurationError: There is no key.
    """
    configuration = read_configuration(url, key)
    return _open(Service(Client(configuration.url, configuration.key)))


def local(folder: str | Path | None = None, *, port: int | None = None) -> Service:
    """Start a service on this machine; it ends with `close`, or with this program.

    `semblance-server` must be installed in the same environment. `folder` keeps the data; by
    default they are deleted at the end. A program that is killed leaves the service running.

    Raises:
        UnreachableError: The service does not start.
    """
    server = LocalServer(None if folder is None else Path(folder), port=port)
    return _open(Service(Client(server.url, server.key), server))


def _open(service: Service) -> Service:
    _opened.append(service)
    return service


@overload
def fit(data: pd.DataFrame, *, target: str | None = None, **options: Any) -> TableModel: ...


@overload
def fit(data: Any, labels: Any = None, **options: Any) -> Any: ...


def fit(data: Any, labels: Any = None, **options: Any) -> Any:
    """Train a model with the service that was opened last, or else with that of `connect()`.

    The parameters are those of `Service.fit`.
    """
    service = _opened[-1] if _opened else connect()
    return service.fit(data, labels, **options)
