"""Named models and their versions: each training job that succeeds adds one, each import another.

A reference is `shoes` (the newest version), `shoes:3`, `shoes@champion` (an alias) or `mdl_…`. A
checkpoint that no model was made of yet is `job_…@latest`, `job_…@best` or `job_…@1200`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import jobs
from core.errors import FieldError, NotFound, NotReady, ResourceInUse, ValidationFailed
from core.ids import new_id
from core.storage import StoredObject
from core.tables import Alias, Checkpoint, Job, Model

# A model must be reachable by its name: GET /v1/models/compare is another route, and references
# that begin with `mdl_` or `job_` are ids.
NAME = re.compile(r"(?!compare\Z|mdl_|job_)\w[\w .-]{0,127}")
NAME_RULE = (
    "must have only letters, digits, spaces, dots, dashes and underscores; it must not be "
    "`compare` or begin with a space, a dot, a dash, `mdl_` or `job_`"
)
ALIAS = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
LATEST = "latest"  # of a name: the newest version, so that it cannot be an alias
_REFERENCE = re.compile(
    r"(?P<name>\w[\w .-]*)(?::(?P<version>\d{1,9})|@(?P<alias>[A-Za-z][\w.-]{0,63}))?"
)
_CHECKPOINT = re.compile(r"(?P<job>job_\w+)@(?P<which>latest|best|\d{1,18})", re.ASCII)


def sanitize_name(text: str) -> str:
    """Return a valid model name for a dataset's name; other characters become dashes."""
    name = re.sub(r"[^\w .-]+", "-", text).strip(" .-")[:128]
    return name if NAME.fullmatch(name) else f"model-{name}"[:128].rstrip("-")


def find_by_checkpoint(session: Session, job: Job, checkpoint: Checkpoint) -> Model | None:
    """The version that was made of this checkpoint."""
    return session.scalar(
        select(Model).where(Model.job_id == job.id, Model.step == checkpoint.step)
    )


def create_version(session: Session, job: Job, checkpoint: Checkpoint) -> Model:
    """The next version of the job's model, not yet added to the session."""
    return Model(
        id=new_id("mdl"),
        tenant_id=job.tenant_id,
        name=job.name,
        version=_next_version(session, job.tenant_id, job.name),
        modality=checkpoint.manifest["modality"],
        job_id=job.id,
        dataset_id=job.dataset_id,
        step=checkpoint.step,
        weights=checkpoint.files["model"],
        manifest=checkpoint.manifest,
        tags=job.tags,
    )


def create_imported_version(
    session: Session,
    tenant_id: str,
    name: str,
    *,
    model_id: str,
    step: int,
    weights: StoredObject,
    manifest: Mapping[str, Any],
) -> Model:
    """The next version of the name, of weights that another service has trained."""
    model = Model(
        id=model_id,
        tenant_id=tenant_id,
        name=name,
        version=_next_version(session, tenant_id, name),
        modality=manifest["modality"],
        step=step,
        weights=weights.to_dict(),
        manifest=dict(manifest),
    )
    session.add(model)
    session.flush()
    session.refresh(model)
    return model


def _next_version(session: Session, tenant_id: str, name: str) -> int:
    # On PostgreSQL two may be made at once: whoever comes second waits here for the first.
    latest = session.scalars(
        select(Model.version)
        .where(Model.tenant_id == tenant_id, Model.name == name)
        .order_by(Model.version.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    return (latest or 0) + 1


def get(session: Session, tenant_id: str, reference: str) -> Model:
    """The version that a reference names."""
    query = select(Model).where(Model.tenant_id == tenant_id)
    if reference.startswith("mdl_"):
        query = query.where(Model.id == reference)
    else:
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise NotFound("a model is named `name`, `name:version`, `name@alias` or `mdl_…`")
        query = query.where(Model.name == match["name"])
        if match["version"]:
            query = query.where(Model.version == int(match["version"]))
        elif match["alias"] and match["alias"] != LATEST:
            query = query.join(Alias, Alias.model_id == Model.id)
            query = query.where(Alias.name == match["name"], Alias.alias == match["alias"])
    model = session.scalar(query.order_by(Model.version.desc()).limit(1))
    if model is None:
        raise NotFound(f"there is no model {reference}")
    return model


def checkpoint_of(session: Session, model: Model) -> Checkpoint | None:
    """What the model was made of, if it is still there."""
    return session.scalar(
        select(Checkpoint).where(Checkpoint.job_id == model.job_id, Checkpoint.step == model.step)
    )


def resolve_sampling_sources(
    session: Session, tenant_id: str, reference: str, checkpoint: str | int | None = None
) -> list[Model]:
    """What samples may be drawn from by this reference, the wanted one first: those after it are
    for when its file is damaged. A checkpoint is shown as the model that it would make, whose id
    is `job_…@step`; it is in no session.

    `checkpoint` names one of the job that made the model. Raises NotReady while there is none.
    """
    named = _CHECKPOINT.fullmatch(reference)
    if named is None and checkpoint is None:
        return [get(session, tenant_id, reference)]
    if named is not None and checkpoint is not None:
        raise _unfit("the reference names a checkpoint already")
    if named is not None:
        job, which = jobs.get(session, tenant_id, named["job"]), named["which"]
    else:
        model = get(session, tenant_id, reference)
        if model.job_id is None:
            raise _unfit(f"{model.name}:{model.version} was imported, and has no checkpoints")
        job, which = jobs.get(session, tenant_id, model.job_id), str(checkpoint)
    rows = jobs.checkpoints_of(session, tenant_id, job.id)
    if not rows:
        raise NotReady(f"job {job.id} has no checkpoint yet", code="no_checkpoint")
    return [_preview_of(job, row) for row in _chosen(rows, which, job.id)]


def _chosen(rows: Sequence[Checkpoint], which: str, job_id: str) -> Sequence[Checkpoint]:
    """Newest first."""
    if which == "latest":
        return rows
    if which == "best":
        scored = [row for row in rows if row.score is not None]
        if not scored:
            raise _unfit(f"no checkpoint of {job_id} has a score; name a step, or `latest`")
        return sorted(scored, key=lambda row: row.score or 0.0, reverse=True)[:1]
    found = [row for row in rows if row.step == int(which)]
    if not found:
        raise _unfit(f"{job_id} keeps no checkpoint of this step", [row.step for row in rows])
    return found


def _unfit(message: str, allowed: Sequence[int] = ()) -> ValidationFailed:
    fault = FieldError("/checkpoint", "not_allowed", message, tuple(allowed[:20]) or None)
    return ValidationFailed(message, code="checkpoint_unknown", field_errors=[fault])


def _preview_of(job: Job, checkpoint: Checkpoint) -> Model:
    return Model(
        id=f"{job.id}@{checkpoint.step}",
        tenant_id=job.tenant_id,
        name=job.name,
        version=0,
        modality=checkpoint.manifest["modality"],
        job_id=job.id,
        dataset_id=job.dataset_id,
        step=checkpoint.step,
        weights=checkpoint.files["model"],
        manifest=checkpoint.manifest,
    )


def find_by_weights(session: Session, tenant_id: str, sha256: str) -> list[Model]:
    """Versions with exactly these weights, the newest first."""
    same = Model.weights["sha256"].as_string() == sha256
    query = select(Model).where(Model.tenant_id == tenant_id, same)
    return list(session.scalars(query.order_by(Model.id.desc()).limit(20)))


def page(session: Session, tenant_id: str, *, limit: int, after: str | None = None) -> list[Model]:
    """All versions of all models, newest first."""
    query = select(Model).where(Model.tenant_id == tenant_id)
    if after is not None:
        query = query.where(Model.id < after)
    return list(session.scalars(query.order_by(Model.id.desc()).limit(limit)))


def aliases_of(session: Session, models: Iterable[Model]) -> dict[str, list[str]]:
    """By the id of the model; one without aliases is left out."""
    query = select(Alias.model_id, Alias.alias).where(Alias.model_id.in_([m.id for m in models]))
    found: dict[str, list[str]] = {}
    for model_id, alias in session.execute(query.order_by(Alias.alias)):
        found.setdefault(model_id, []).append(alias)
    return found


def set_alias(session: Session, model: Model, alias: str) -> None:
    """`name@alias` means this version from now on, whatever it meant before."""
    if not ALIAS.fullmatch(alias) or alias == LATEST:
        message = "an alias is a letter, then letters, digits, dots, dashes and underscores"
        message += f"; `{LATEST}` is the newest version already" if alias == LATEST else ""
        raise ValidationFailed(
            message, code="alias_invalid", field_errors=[FieldError("/alias", "invalid", message)]
        )
    row = session.get(Alias, (model.tenant_id, model.name, alias))
    if row is None:
        row = Alias(tenant_id=model.tenant_id, name=model.name, alias=alias)
    row.model_id = model.id
    session.add(row)


def delete_alias(session: Session, model: Model, alias: str) -> None:
    row = session.get(Alias, (model.tenant_id, model.name, alias))
    if row is None:
        raise NotFound(f"there is no model {model.name}@{alias}"[:256])
    session.delete(row)


def delete(session: Session, model: Model) -> list[str]:
    """Remove the row, and the checkpoint that it was made of; returns the keys of the objects to
    delete after the commit. Raises ResourceInUse while an alias names it or a job needs it."""
    shown = f"{model.name}:{model.version}"
    if found := aliases_of(session, [model]).get(model.id):
        names = [f"{model.name}@{alias}" for alias in found]
        raise ResourceInUse(f"{shown} is what {', '.join(names)} means", aliases=names)
    if live := jobs.live_jobs_of_model(session, model):
        raise ResourceInUse(f"{shown} is needed by {', '.join(live[:5])}", jobs=list(live[:20]))
    keys = [model.weights["key"]]
    if model.job_id is not None:
        keys += jobs.delete_checkpoint(session, model.job_id, model.step)
    session.execute(delete_rows(Model).where(Model.id == model.id))
    return list(dict.fromkeys(keys))


def detach_dataset(session: Session, tenant_id: str, dataset_id: str) -> None:
    """Models outlive the dataset that they were trained on."""
    session.execute(
        update(Model)
        .where(Model.tenant_id == tenant_id, Model.dataset_id == dataset_id)
        .values(dataset_id=None)
    )
