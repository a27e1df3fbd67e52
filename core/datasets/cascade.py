"""Deletion of a dataset together with everything that came from it.

These are the models that were trained on it, the jobs that read it or sampled such a model, with
their files, and the datasets that augmentation jobs derived from it, in the same way.
"""

from dataclasses import dataclass, field

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core import jobs
from core.datasets import repository
from core.idempotency import forget_responses
from core.listing import forget_tags
from core.storage import Storage
from core.tables import Alias, Dataset, Job, Model


@dataclass
class Descendants:
    """Ids of a dataset and of all that came from it."""

    datasets: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


def find_descendants(session: Session, tenant_id: str, dataset_id: str) -> Descendants:
    """Return the dataset and all that came from it. Raises NotFound."""
    tree = Descendants([repository.get(session, tenant_id, dataset_id).id])
    source_id = Dataset.summary["derived_from"]["dataset"].as_string()
    derived = session.execute(
        select(Dataset.id, source_id).where(Dataset.tenant_id == tenant_id, source_id.is_not(None))
    ).all()
    for source in tree.datasets:  # grows while it is read
        tree.datasets += [new for new, old in derived if old == source]
    of_datasets = select(Job.id).where(
        Job.tenant_id == tenant_id, Job.dataset_id.in_(tree.datasets)
    )
    job_ids = set(session.scalars(of_datasets))
    models = select(Model.id).where(
        Model.tenant_id == tenant_id,
        Model.dataset_id.in_(tree.datasets) | Model.job_id.in_(job_ids),
    )
    tree.models = sorted(session.scalars(models))
    of_models = select(Job.id).where(Job.tenant_id == tenant_id, Job.model_id.in_(tree.models))
    tree.jobs = sorted(job_ids | set(session.scalars(of_models)))
    return tree


def delete_with_descendants(
    session: Session, storage: Storage, tenant_id: str, dataset_id: str
) -> list[str]:
    """Delete the rows and return the keys of the objects to delete after the commit.

    Raises:
        NotFound: The dataset does not exist.
        ResourceInUse: A job among the descendants has not ended.
    """
    tree = find_descendants(session, tenant_id, dataset_id)
    keys = _object_keys(session, tree)
    session.execute(delete(Alias).where(Alias.model_id.in_(tree.models)))
    session.execute(delete(Model).where(Model.id.in_(tree.models)))
    keys += jobs.delete(session, storage, tree.jobs)
    session.execute(delete(Dataset).where(Dataset.id.in_(tree.datasets)))
    forget_tags(session, [*tree.datasets, *tree.models])
    forget_responses(session, [*tree.datasets, *tree.models])
    return list(dict.fromkeys(keys))


def _object_keys(session: Session, tree: Descendants) -> list[str]:
    """Return the keys of the objects of the datasets and models."""
    keys: list[str] = []
    for dataset in session.scalars(select(Dataset).where(Dataset.id.in_(tree.datasets))):
        keys += dataset.object_keys
        keys += [part["key"] for source in dataset.sources for part in source["parts"]]
    for weights in session.scalars(select(Model.weights).where(Model.id.in_(tree.models))):
        keys.append(weights["key"])
    return keys
