"""Named models and their versions: each training job that succeeds adds one."""

import re

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.ids import new_id
from core.tables import Checkpoint, Job, Model

NAME = re.compile(r"\w[\w .-]{0,127}")
_REFERENCE = re.compile(r"(?P<name>\w[\w .-]*)(?::(?P<version>\d{1,9}))?")


def name_from(text: str) -> str:
    """A model's name out of a dataset's: what a reference cannot hold becomes a dash."""
    name = re.sub(r"[^\w .-]+", "-", text).strip(" .-")[:128]
    return name or "model"


def of_checkpoint(session: Session, job: Job, checkpoint: Checkpoint) -> Model | None:
    """The version that was made of this checkpoint."""
    return session.scalar(
        select(Model).where(Model.job_id == job.id, Model.step == checkpoint.step)
    )


def new_version(session: Session, job: Job, checkpoint: Checkpoint) -> Model:
    """The next version of the job's model, not yet added to the session."""
    # On PostgreSQL two jobs may end at once: whoever comes second waits here for the first.
    latest = session.scalars(
        select(Model.version)
        .where(Model.tenant_id == job.tenant_id, Model.name == job.name)
        .order_by(Model.version.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    return Model(
        id=new_id("mdl"),
        tenant_id=job.tenant_id,
        name=job.name,
        version=(latest or 0) + 1,
        kind=checkpoint.manifest["kind"],
        job_id=job.id,
        dataset_id=job.dataset_id,
        step=checkpoint.step,
        weights=checkpoint.files["model"],
        manifest=checkpoint.manifest,
        tags=job.tags,
    )


def get(session: Session, tenant_id: str, reference: str) -> Model:
    """The model that `shoes` (its newest version), `shoes:3` or `mdl_…` names."""
    query = select(Model).where(Model.tenant_id == tenant_id)
    if reference.startswith("mdl_"):
        query = query.where(Model.id == reference)
    else:
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise NotFound("a model is named `name`, `name:version` or `mdl_…`")
        query = query.where(Model.name == match["name"])
        if match["version"]:
            query = query.where(Model.version == int(match["version"]))
    model = session.scalar(query.order_by(Model.version.desc()).limit(1))
    if model is None:
        raise NotFound(f"there is no model {reference}")
    return model


def checkpoint_of(session: Session, model: Model) -> Checkpoint | None:
    """What the model was made of, if it is still there."""
    return session.scalar(
        select(Checkpoint).where(Checkpoint.job_id == model.job_id, Checkpoint.step == model.step)
    )


def page(session: Session, tenant_id: str, *, limit: int, after: str | None = None) -> list[Model]:
    """All versions of all models, newest first."""
    query = select(Model).where(Model.tenant_id == tenant_id)
    if after is not None:
        query = query.where(Model.id < after)
    return list(session.scalars(query.order_by(Model.id.desc()).limit(limit)))


def forget_dataset(session: Session, tenant_id: str, dataset_id: str) -> None:
    """Models outlive the dataset that they were trained on."""
    session.execute(
        update(Model)
        .where(Model.tenant_id == tenant_id, Model.dataset_id == dataset_id)
        .values(dataset_id=None)
    )
