"""Datasets, jobs, models and reports as objects with methods, which notebooks display."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from semblance.notebook import html
from semblance.notebook.extras import require
from semblance.notebook.inputs import to_partial_rows
from semblance.notebook.samples import Samples

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from semblance import types
    from semblance._sync.client import Client
    from semblance.notebook.torch_data import SampleDataset

SEED_BITS = 31
CURVES = ("holdout_loss", "frechet_distance", "generator_loss", "critic_loss")
CURVE_POINTS = 200


class Resource:
    """A resource of the service; `data` is what the service says about it."""

    def __init__(self, client: Client, data: Any) -> None:
        self.client = client
        self.data = data

    @property
    def id(self) -> str:
        identifier: str = self.data["id"]
        return identifier

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"


class Dataset(Resource):
    """A dataset on the service."""

    data: types.DatasetView

    def _repr_html_(self) -> str:
        data = self.data
        labels = [(label["name"], label["count"]) for label in data["labels"] or ()][:20]
        return html.box(
            f"Dataset {data['name']} ({data['id']})",
            f"{data['train_items']:,} {'images' if data['modality'] == 'image' else 'rows'}, "
            f"{len(data['labels'] or ())} labels",
            html.table(("label", "items"), labels) if labels else "",
        )


class Job(Resource):
    """A job on the service."""

    data: types.JobView

    def refresh(self) -> Self:
        """Read the current state from the service."""
        self.data = self.client.read_job(self.id)
        return self

    def wait(self) -> Self:
        """Wait until the job has ended, and show its progress on the way.

        Raises:
            JobFailedError: The job failed or was cancelled.
        """
        display = _display_handle()
        if display is None:
            from semblance.command.progress import watch

            self.data = watch(self.client, self.id)
            return self

        def show(job: types.JobView) -> None:
            self.data = job
            display.update(self)

        display.display(self)
        self.client.wait(self.id, on_change=show)
        return self

    def cancel(self) -> Self:
        self.data = self.client.cancel(self.id)
        return self

    def metrics(self) -> pd.DataFrame:
        """Return the training metrics: a row for each step, a column for each metric."""
        pandas = require("pandas", "tables")
        series = {
            name: pandas.Series(metric["values"], index=metric["steps"], dtype="float64")
            for name, metric in self.client.read_metrics(self.id).items()
        }
        frame = pandas.DataFrame(series).sort_index()
        frame.index.name = "step"
        return frame

    def _repr_html_(self) -> str:
        if not self.data["terminal"]:
            self.refresh()
        job = self.data
        percent = job["progress"]["percent"]
        reason = job["error"]["detail"] if job["error"] else job["queue"]["reason"]
        return html.box(
            f"Job {job['name']} ({job['id']}): {job['phase'] or job['state']}",
            html.text(reason),
            "" if percent is None else html.bar(percent),
            self._curve() if job["kind"] == "training" else "",
        )

    def _curve(self) -> str:
        metrics = self.client.read_metrics(self.id, points=CURVE_POINTS)
        name = next((name for name in CURVES if name in metrics), None)
        return "" if name is None else html.curve(name, metrics[name]["values"])


class Report(Resource):
    """The evaluation of a model: verdict and scores."""

    data: types.Report

    @property
    def id(self) -> str:
        return self.data["reference"]

    @property
    def verdict(self) -> str | None:
        verdict = self.data["verdict"]
        return None if verdict is None else verdict["verdict"]

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each score."""
        pandas = require("pandas", "tables")
        columns = ("value", "low", "high", "real_reference", "naive_baseline", "direction")
        rows = {
            score["name"]: (
                *(score["value"], *score["ci95"], score["real_reference"]),
                *(score["naive_baseline"], score["direction"]),
            )
            for score in self.data["scores"]
        }
        return pandas.DataFrame.from_dict(rows, orient="index", columns=list(columns))

    def _repr_html_(self) -> str:
        def number(value: float | None) -> str:
            return "" if value is None else f"{value:.3f}"

        rows = [
            (
                *(score["name"], number(score["value"])),
                "{:.3f} to {:.3f}".format(*score["ci95"]),
                *(number(score["real_reference"]), number(score["naive_baseline"])),
            )
            for score in self.data["scores"]
        ]
        verdict = self.data["verdict"]
        return html.box(
            f"Report on {self.id}: {self.verdict or self.data['state']}",
            html.text("; ".join(verdict["reasons"]) if verdict else ""),
            html.table(("score", "value", "95 % interval", "real", "naive"), rows) if rows else "",
        )


class Model(Resource):
    """A trained model."""

    data: types.ModelView

    @property
    def name(self) -> str:
        """`name:version`."""
        return self.data["reference"]

    @property
    def labels(self) -> list[str]:
        return self.data["labels"] or []

    def samples(
        self,
        labels: Mapping[str, int] | int | None = None,
        *,
        seed: int | None = None,
        **options: Any,
    ) -> Samples:
        """Return samples: a number of each label, `{"cat": 300}`, or a total number.

        `options` takes the options of `Client.samples`, such as `conditions` for tables. The
        `partial_rows` of a table may be a DataFrame, whose missing cells are generated.
        """
        request: dict[str, Any] = {
            "seed": secrets.randbits(SEED_BITS) if seed is None else seed,
            **options,
        }
        if request.get("partial_rows") is not None:
            request["partial_rows"] = to_partial_rows(request["partial_rows"])
        if isinstance(labels, int):
            request["count"] = labels
        elif labels is not None:
            request["labels"] = dict(labels)
        return Samples(self.client, self.data, request)

    def report(self, *, wait: bool = True) -> Report:
        """Return the evaluation, after waiting for a running one."""
        return Report(self.client, self.client.report(self.id, wait=wait))

    def torch_dataset(
        self,
        mix: Mapping[str, float],
        *,
        seed: int = 0,
        chunk: int = 256,
        length: int | None = None,
    ) -> SampleDataset:
        """Return an iterable torch dataset that streams samples: see `SampleDataset`."""
        from semblance.notebook.torch_data import SampleDataset

        return SampleDataset(self, mix, seed=seed, chunk=chunk, length=length)

    def _repr_html_(self) -> str:
        data = self.data
        return html.box(
            f"Model {data['reference']} ({data['id']})",
            f"{data['modality']}, {data['parameters']:,} parameters, step {data['step']:,}",
            html.text(f"labels: {', '.join(self.labels[:20])}" if self.labels else "no labels"),
            html.text(f"verdict: {data['quality']['verdict'] or 'not evaluated'}"),
        )


class TableModel(Model):
    """A model of table rows."""

    def sample(
        self,
        labels: Mapping[str, int] | int | None = None,
        *,
        seed: int | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """Return synthetic rows as a DataFrame: see `samples` for other forms."""
        return self.samples(labels, seed=seed, **options).to_pandas()


class ImageModel(Model):
    """A model of images."""

    def sample(
        self,
        labels: Mapping[str, int] | int | None = None,
        *,
        seed: int | None = None,
        **options: Any,
    ) -> list[Image.Image]:
        """Return synthetic images as PIL images: see `samples` for other forms."""
        return self.samples(labels, seed=seed, **options).images()


def model_of(client: Client, data: types.ModelView) -> TableModel | ImageModel:
    return TableModel(client, data) if data["modality"] == "tabular" else ImageModel(client, data)


def _display_handle() -> Any:
    """Return an output of this notebook cell that can be replaced, or None outside of notebooks."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython.display import DisplayHandle

    return DisplayHandle()
