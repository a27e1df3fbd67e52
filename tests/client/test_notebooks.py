"""The objects for notebooks, and the notebooks in `examples/`."""

import ast
import json
import math
import tempfile
import zipfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import semblance
import torch
from PIL import Image
from semblance.notebook.inputs import to_file, to_partial_rows
from semblance.notebook.torch_data import apportion
from torch.utils.data import DataLoader

from tests.client.live import LiveApplication
from tests.conftest import KEY
from tests.factories import create_trained_model

TEMPORARY = tempfile.gettempdir()
NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


def connect(service: LiveApplication, model: str) -> Any:
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {KEY}"}) as http:
        create_trained_model(http, model)  # type: ignore[arg-type]
    return semblance.connect()


def test_rows_come_as_table_frame_and_arrays(service: LiveApplication) -> None:
    with connect(service, "people") as connected:
        model = connected.model("people")
        assert isinstance(model, semblance.TableModel)
        samples = model.samples({">50K": 3, "<=50K": 2}, seed=1)
        table = samples.to_arrow()
        assert table.column("income").to_pylist() == [">50K"] * 3 + ["<=50K"] * 2
        assert "5 rows of people:1, seed 1" in samples._repr_html_()
        assert "people:1" in model._repr_html_()
        assert "succeeded" in connected.jobs()[0]._repr_html_()
        assert "400 rows" in connected.datasets()[0]._repr_html_()
        with pytest.raises(TypeError, match="to_pandas"):
            samples.images()
        pytest.importorskip("pandas")
        frame = model.sample({">50K": 3, "<=50K": 2}, seed=1)
        assert frame["income"].tolist() == table.column("income").to_pylist()
        x, y = samples.to_numpy()
        assert x.shape == (5, len(frame.columns) - 1)
        assert y.tolist() == frame["income"].tolist()
        assert connected.jobs(kind="training")[0].metrics().index.name == "step"


def test_images_come_as_arrays_pictures_and_a_torch_dataset(
    service: LiveApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The workers of a DataLoader have sockets here; the application's folder has too long a path.
    monkeypatch.setattr(tempfile, "tempdir", TEMPORARY)
    with connect(service, "pets") as connected:
        model = connected.model("pets")
        assert isinstance(model, semblance.ImageModel)
        samples = model.samples({"cat": 2, "bee": 1}, seed=1)
        x, y = samples.to_numpy()
        assert (x.shape, x.dtype, y.tolist()) == ((3, 8, 8), np.uint8, ["cat", "cat", "bee"])
        assert [np.array_equal(a, b) for a, b in zip(samples.images(), x, strict=True)] == [
            True
        ] * 3
        assert "data:image/png" in samples._repr_html_()

        stream = model.torch_dataset({"cat": 1, "bee": 3}, chunk=4, length=10)
        items = list(stream)
        assert items[0][0].shape == (1, 8, 8)
        assert [sum(label for _, label in items[i : i + 4]) for i in (0, 4)] == [3, 3]
        images = {image.numpy().tobytes() for image, _ in items}
        assert len(images) == len(items) == 10
        by_workers = list(DataLoader(stream, batch_size=None, num_workers=2))
        assert {image.numpy().tobytes() for image, _ in by_workers} == images


def read_zip(file: Path) -> dict[str, Image.Image]:
    with zipfile.ZipFile(file) as archive:
        return {name: Image.open(archive.open(name)) for name in archive.namelist()}


def test_arrays_tensors_and_tables_become_files(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 2 * 16, dtype=np.float32).reshape(2, 4, 4)
    with np.load(to_file(torch.from_numpy(x), ["a", "b"], tmp_path)) as arrays:
        assert np.array_equal(arrays["x"], np.round(x * 255).astype(np.uint8))
        assert arrays["y"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="0 to 1"):
        to_file(x * 255, ["a", "b"], tmp_path)
    with pytest.raises(ValueError, match="2 images, but 1 labels"):
        to_file(x, ["a"], tmp_path)
    table = pa.table({"age": [1, 2], "since": pa.array([1, 2], pa.date32())})
    assert pq.read_table(to_file(table, None, tmp_path)).equals(table)
    with pytest.raises(TypeError, match="generator"):
        to_file((i for i in range(3)), None, tmp_path)
    with pytest.raises(ValueError, match="no rows"):
        to_file(table.slice(0, 0), None, tmp_path)


def test_named_levels_of_an_index_become_columns(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"store": ["A", "B"], "day": [1, 2], "sales": [3, 4]})
    for index, columns in (
        (["store", "day"], ["store", "day", "sales"]),
        (["day"], ["day", "store", "sales"]),
    ):
        file = to_file(frame.set_index(index), None, tmp_path)
        assert pq.read_table(file).column_names == columns
    for unchanged in (frame[:1], frame.set_index("day", drop=False)):
        file = to_file(unchanged, None, tmp_path)
        assert pq.read_table(file).column_names == [*frame.columns]
    with pytest.raises(TypeError, match="must be a table"):
        to_partial_rows(frame["day"])
    levels = frame.set_index(["store", "day"]).rename_axis(["store", None])
    assert pq.read_table(to_file(levels, None, tmp_path)).column_names == ["store", "sales"]


def test_missing_cells_of_a_table_are_generated_and_those_of_mappings_are_missing() -> None:
    table = pa.table(
        {
            "age": [30, None],
            "since": pa.array([date(2024, 5, 1), None]),
            "fee": pa.array([None, Decimal("1.50")]),
            "wait": pa.array([timedelta(days=1, microseconds=5), timedelta(seconds=-90)]),
            "score": [math.nan, 0.5],
        }
    )
    assert to_partial_rows(table) == [
        {"age": 30, "since": "2024-05-01", "wait": "PT86400.000005S"},
        {"fee": "1.50", "wait": "-PT90.000000S", "score": 0.5},
    ]
    assert to_partial_rows([{"age": np.int64(30), "city": None}]) == [{"age": 30, "city": None}]
    with pytest.raises(TypeError, match="partial_rows"):
        to_partial_rows({"age": 30})


def test_a_data_frame_of_partial_rows_is_completed(service: LiveApplication) -> None:
    pandas = pytest.importorskip("pandas")
    with connect(service, "people") as connected:
        rows = pandas.DataFrame({"age": [30, None], "income": [None, ">50K"]})
        samples = connected.model("people").samples(partial_rows=rows, seed=1)
        assert len(samples) == 2
        completed = samples.to_pandas()
        assert (completed["age"][0], completed["income"][1]) == (30, ">50K")
        assert completed.notna().all(axis=None)


def test_pictures_and_datasets_of_pairs_become_folders(tmp_path: Path) -> None:
    class Pairs:
        """A dataset as torchvision has them."""

        classes = ("ant", "bee")

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return torch.full((3, 4, 5), index, dtype=torch.float32), index

    pictures = read_zip(to_file(Pairs(), None, tmp_path))
    assert {name: picture.size for name, picture in pictures.items()} == {
        "ant/0.png": (5, 4),
        "bee/1.png": (5, 4),
    }
    assert pictures["bee/1.png"].getpixel((0, 0)) == (255, 255, 255)
    picture = Image.new("L", (4, 4))
    assert list(read_zip(to_file([picture, picture], ["x", "y"], tmp_path))) == [
        "x/0.png",
        "y/1.png",
    ]


def test_parts_of_a_chunk_have_the_proportions_of_the_mix() -> None:
    assert apportion([1, 3], 256) == [64, 192]
    assert apportion([1, 1, 1], 256) == [86, 85, 85]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_displays_its_objects(notebook: Path) -> None:
    for library in ("pandas", "pyarrow"):
        pytest.importorskip(library)
    names: dict[str, Any] = {}
    displayed = []
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body[-1] if isinstance(tree.body[-1], ast.Expr) else None
        body = tree.body[:-1] if last else tree.body
        exec(compile(ast.Module(body, []), notebook.name, "exec"), names)  # noqa: S102
        if last is not None:
            code = compile(ast.Expression(last.value), notebook.name, "eval")
            value = eval(code, names)  # noqa: S307 - our own notebooks
            displayed.append(getattr(value, "_repr_html_", lambda: "")())
    assert sum(map(bool, displayed)) >= 5
