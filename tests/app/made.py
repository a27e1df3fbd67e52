"""Models that are there without having been trained: what is served does not depend on it."""

from functools import cache

from core import jobs, registry
from core.database import write
from core.ids import new_id
from core.jobs import Claim, NewCheckpoint
from core.storage import Stored, get_storage, key_of
from core.tables import Model
from models.images.guided.state import State
from models.run import Saved
from tests.conftest import TENANT
from tests.models.images.tiny import images_of, settings_of

LABELS = ("Ankle boot", "Größe", "T-shirt/top")


@cache
def weights(seed: int = 0, scoring: bool = False) -> Saved:
    """Of the smallest networks, 8 x 8 grey, three labels; with a classifier and a critic, if they
    are to score."""
    settings = settings_of(classes=len(LABELS))
    state = State(settings, images_of(settings), seed)
    if scoring:
        # Untrained, one hardly makes a difference and the other hardly sees it.
        state.average["G"].end.weight.data *= 100
        state.features.classifier.out.weight.data *= 100
        state.settle()
        state.calibration = (1.0, 0.0)
    return state.pack()


def manifest(saved: Saved) -> dict[str, object]:
    return {
        "kind": "images",
        "labels": [{"name": name, "count": n + 1} for n, name in enumerate(LABELS)],
        "image": {"height": 8, "width": 8, "channels": 1},
        "config": {"kind": "images", "seed": 1, "holdout": 0.1, "config": {}},
        "dataset": {"id": "ds_gone", "name": "garments", "sha256": "0" * 64},
        "parameters": saved.parameters,
    }


def a_model(name: str = "shoes", seed: int = 0, scoring: bool = False) -> Model:
    """The next version of a name, as if it had been imported."""
    saved, model_id = weights(seed, scoring), new_id("mdl")
    stored = get_storage().put(key_of(TENANT, "models", f"{model_id}.safetensors"), saved.model)
    with write() as session:
        return registry.imported(
            session,
            TENANT,
            name,
            model_id=model_id,
            step=4,
            weights=stored,
            manifest=manifest(saved),
        )


def a_checkpoint(
    claim: Claim, step: int, seed: int, score: float | None = None
) -> dict[str, Stored]:
    """Of a job that runs."""
    saved, storage = weights(seed), get_storage()
    files = {
        name: storage.put(key_of(TENANT, "jobs", claim.job_id, f"{name}-{step}"), data)
        for name, data in (("state", saved.state), ("model", saved.model))
    }
    with write() as session:
        new = NewCheckpoint(step, files, manifest(saved), {}, score)
        jobs.add_checkpoint(session, claim, new)
    return files
