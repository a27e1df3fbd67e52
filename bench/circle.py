"""Benchmark of models that learn 1,000 unlabeled points on a circle of radius 2.

The models are the two tabular architectures with their defaults and, as a reference, the small GAN
that textbooks begin with: hidden layers of 32 and 16 units, a latent of 3, steps of 128 real and
128 fake points, cross-entropy loss (Goodfellow et al. 2014, arXiv 1406.2661).
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
from models.tabular.budget import budget
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, resolve
from models.tabular.training import train

RESULTS = Path(__file__).with_name("results") / "circle.jsonl"
FIGURES = Path(__file__).with_name("circle.md")
RADIUS, POINTS = 2.0, 1_000
EVALUATED_POINTS, SECTORS = 1_000, 36
# With fewer points, a sector of a perfect generator would often be half empty by chance.
SECTOR_POINTS = 36_000
TEXTBOOK_STEPS, TEXTBOOK_BATCH, TEXTBOOK_LATENT = 10_001, 128, 3
MODELS = ("autoregressive", "gan", "textbook")
COLUMNS = ("seed", "cpu_s", "radius_error", "emptiest_sector", "emptiest_sector_of_real")

Points = NDArray[np.float64]


def circle(seed: int) -> Points:
    """Return random points on the circle, (N, 2)."""
    angle = np.random.default_rng(seed).random(POINTS) * 2 * np.pi
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def run_service_model(real: Points, architecture: str, seed: int) -> tuple[Points, Points]:
    """Train as a job with the preset `fast` does; return generated points and training points."""
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
        sampler = TableSampler.load(*unpack(path))
        synthetic = sampler.sample(seed + 1_000, np.arange(SECTOR_POINTS)).rows
    points = np.stack([np.asarray(synthetic.column(name)) for name in ("x", "y")], 1)
    return points, real[rows.train]


def run_textbook_gan(real: Points, seed: int) -> tuple[Points, Points]:
    """Train the reference GAN; return generated points and training points."""
    torch.manual_seed(seed)
    points = torch.from_numpy(real).float()
    G, D = _mlp(TEXTBOOK_LATENT, 2), _mlp(2, 1)
    opt_G, opt_D = (torch.optim.Adam(n.parameters(), 1e-3, betas=(0.5, 0.999)) for n in (G, D))

    def generate(count: int) -> Tensor:
        fake: Tensor = G(torch.randn(count, TEXTBOOK_LATENT))
        return fake

    for _ in range(TEXTBOOK_STEPS):
        batch = points[torch.randint(len(points), (TEXTBOOK_BATCH,))]
        fake = generate(TEXTBOOK_BATCH)
        # Non-saturating GAN loss: softplus(-D(x)) = -log sigmoid(D(x)).
        loss = F.softplus(-D(batch)).mean() + F.softplus(D(fake.detach())).mean()
        opt_D.zero_grad()
        loss.backward()
        opt_D.step()
        opt_G.zero_grad()
        F.softplus(-D(fake)).mean().backward()
        opt_G.step()
    with torch.no_grad():
        return generate(SECTOR_POINTS).double().numpy(), real


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 32),
        nn.LeakyReLU(0.2),
        nn.Linear(32, 16),
        nn.LeakyReLU(0.2),
        nn.Linear(16, outputs),
    )


def run_benchmark(model: str, seed: int) -> dict[str, Any]:
    real = circle(seed)
    started = time.process_time()
    if model == "textbook":
        synthetic, training = run_textbook_gan(real, seed)
    else:
        synthetic, training = run_service_model(real, model, seed)
    cpu_s = time.process_time() - started
    return {
        "model": model,
        "seed": seed,
        "commit": commit(),
        "cpu_s": round(cpu_s, 1),
        "radius_error": round(_radius_error(synthetic[:EVALUATED_POINTS]), 4),
        "emptiest_sector": round(_emptiest_sector(synthetic), 3),
        "emptiest_sector_of_real": round(_emptiest_sector(training), 3),
    }


def _radius_error(points: Points) -> float:
    return float(np.abs(np.hypot(points[:, 0], points[:, 1]) - RADIUS).mean())


def _emptiest_sector(points: Points) -> float:
    """Return the smallest number of points in a sector, relative to the mean over all sectors."""
    sector = (np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) % 1 * SECTORS).astype(int)
    return float(np.bincount(sector, minlength=SECTORS).min() * SECTORS / len(points))


def render_markdown(results: list[dict[str, Any]]) -> str:
    """Return the page with the newest result of each seed."""
    lines = [
        "# A circle",
        "",
        f"Models of {POINTS:,} unlabeled points on a circle of radius {RADIUS:g}; "
        "`python -m bench.circle` writes this page. Radius error: mean absolute error of the "
        f"radius, over {EVALUATED_POINTS:,} generated points. Emptiest sector: the smallest number "
        f"of points in one of {SECTORS} equal sectors, relative to the mean, over "
        f"{SECTOR_POINTS:,} generated points; 1 is the best. The last column is the same figure "
        "for the training points (nine tenths of all points in a training job), which differ "
        "between seeds. Each cell lists the seeds in order.",
        "",
        "| model | seeds | CPU-s | radius error | emptiest sector | of the training points |",
        "|---|---|---|---|---|---|",
    ]
    for model in MODELS:
        newest = {r["seed"]: r for r in results if r["model"] == model}
        by_seed = [newest[seed] for seed in sorted(newest)]
        cells = [", ".join(str(result[name]) for result in by_seed) for name in COLUMNS]
        if by_seed:
            lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # The libraries read these variables when the process starts.
        command = [sys.executable, "-m", "bench.circle", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})  # noqa: S606
    torch.set_num_threads(1)
    for model in arguments.models:
        for seed in arguments.seeds:
            result = run_benchmark(model, seed)
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            print(result, flush=True)
    FIGURES.write_text(render_markdown([json.loads(line) for line in RESULTS.open()]))


if __name__ == "__main__":
    main()
