"""How round a circle comes back: 1,000 points at radius 2, without labels.

Rows of the table: the two architectures as they are by default, and the pair of small networks that
textbooks begin with, written here, as a reference: two hidden layers of 32 and 16, noise of 3, each
step 128 real and 128 made points, cross-entropy (Goodfellow et al. 2014, 1406.2661).
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.images import commit
from bench.tables import ENVIRONMENT, Budget
from models.checkpoint import unpack
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, budget, resolve
from models.tabular.training import train

RESULTS = Path(__file__).with_name("results") / "circle.jsonl"
FIGURES = Path(__file__).with_name("circle.md")
RADIUS, POINTS = 2.0, 1_000
EVALUATED_POINTS, SECTORS = 1_000, 36
SECTOR_POINTS = 36_000  # points: chance alone leaves a sector of fewer of them half empty
TEXTBOOK_STEPS, TEXTBOOK_BATCH, TEXTBOOK_NOISE = 10_001, 128, 3
MODELS = ("autoregressive", "gan", "textbook")

Points = NDArray[np.float64]


def circle(seed: int) -> Points:
    """(N, 2)."""
    angle = np.random.default_rng(seed).random(POINTS) * 2 * np.pi
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def by_service(real: Points, architecture: str, seed: int) -> tuple[Points, Points]:
    """As a training job would, with the preset `fast`: made points, and those learned from."""
    table = pa.table({"x": real[:, 0], "y": real[:, 1]})
    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number"))
    data = TableData(POINTS, 2)
    settings = resolve(data, "fast", {"architecture": architecture})
    run = Budget(budget(data, settings, "fast")["steps"])
    rows = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=seed)
    train(rows, settings, run, seed=seed)
    assert run.saved is not None  # noqa: S101 - every run ends with a save
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder:
        path = Path(folder) / "model"
        path.write_bytes(run.saved.model)
        made = TableSampler.load(*unpack(path)).sample(seed + 1_000, np.arange(SECTOR_POINTS)).rows
    return np.stack([np.asarray(made.column(name)) for name in ("x", "y")], 1), real[rows.train]


def by_textbook(real: Points, seed: int) -> tuple[Points, Points]:
    torch.manual_seed(seed)
    points = torch.from_numpy(real).float()
    G, D = _pair_network(TEXTBOOK_NOISE, 2), _pair_network(2, 1)
    opt_G, opt_D = (torch.optim.Adam(n.parameters(), 1e-3, betas=(0.5, 0.999)) for n in (G, D))

    def made(count: int) -> Tensor:
        made: Tensor = G(torch.randn(count, TEXTBOOK_NOISE))
        return made

    for _ in range(TEXTBOOK_STEPS):
        batch = points[torch.randint(len(points), (TEXTBOOK_BATCH,))]
        fake = made(TEXTBOOK_BATCH)
        loss = F.softplus(-D(batch)).mean() + F.softplus(D(fake.detach())).mean()
        opt_D.zero_grad()
        loss.backward()
        opt_D.step()
        opt_G.zero_grad()
        F.softplus(-D(fake)).mean().backward()
        opt_G.step()
    with torch.no_grad():
        return made(SECTOR_POINTS).double().numpy(), real


def _pair_network(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 32),
        nn.LeakyReLU(0.2),
        nn.Linear(32, 16),
        nn.LeakyReLU(0.2),
        nn.Linear(16, outputs),
    )


def run_benchmark(made_by: str, seed: int) -> dict[str, Any]:
    real = circle(seed)
    started = time.process_time()
    by = by_textbook(real, seed) if made_by == "textbook" else by_service(real, made_by, seed)
    made, learned = by
    cpu_s = time.process_time() - started
    return {
        "made_by": made_by,
        "seed": seed,
        "commit": commit(),
        "cpu_s": round(cpu_s, 1),
        "off_the_circle": round(_off(made[:EVALUATED_POINTS]), 4),
        "emptiest_sector": round(_emptiest(made), 3),
        "emptiest_of_real": round(_emptiest(learned), 3),
    }


def _off(points: Points) -> float:
    return float(np.abs(np.hypot(points[:, 0], points[:, 1]) - RADIUS).mean())


def _emptiest(points: Points) -> float:
    """The share of points in it, 1 where all sectors are alike."""
    sector = (np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) % 1 * SECTORS).astype(int)
    return float(np.bincount(sector, minlength=SECTORS).min() * SECTORS / len(points))


def render_markdown(results: list[dict[str, Any]]) -> str:
    """The newest result of each seed, as a table."""
    lines = [
        "# A circle",
        "",
        f"{POINTS:,} points at radius {RADIUS:g}, no label; `python -m bench.circle` makes the "
        "figures. Off the circle: the mean distance of the radius from the true one, of "
        f"{EVALUATED_POINTS:,} points. Emptiest sector: of {SECTORS} equal ones, its share of {SECTOR_POINTS:,} "
        "points, 1 where all are alike, beside that of the points learned from (of a training job "
        "nine in ten), which each seed draws anew. Each cell has the seeds in order.",
        "",
        "| made by | seeds | CPU-s | off the circle | emptiest sector | learned from |",
        "|---|---|---|---|---|---|",
    ]
    for made_by in MODELS:
        newest = {r["seed"]: r for r in results if r["made_by"] == made_by}
        mine = [newest[seed] for seed in sorted(newest)]
        cells = [
            ", ".join(str(result[name]) for result in mine)
            for name in ("seed", "cpu_s", "off_the_circle", "emptiest_sector", "emptiest_of_real")
        ]
        if mine:
            lines.append(f"| {made_by} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--made-by", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # Both are read when a process starts.
        command = [sys.executable, "-m", "bench.circle", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})  # noqa: S606
    torch.set_num_threads(1)
    for made_by in arguments.made_by:
        for seed in arguments.seeds:
            result = run_benchmark(made_by, seed)
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            print(result, flush=True)
    FIGURES.write_text(render_markdown([json.loads(line) for line in RESULTS.open()]))


if __name__ == "__main__":
    main()
