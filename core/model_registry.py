"""Registry of named models and their versions.

Each successful training job and each import adds a version. A reference is `shoes` (the newest
version), `shoes:3`, `shoes@champion` (an alias) or `mdl_…`. A checkpoint that is not registered as
a model is `job_…@latest`, `job_…@best` or `job_…@1200`.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core import jobs, similar_names
from core.errors import NotFound, NotReady, ResourceInUse, ValidationFailed
from core.idempotency import forget_responses
from core.ids import new_id
from core.listing import ListedPage, PageRequest, forget_tags, list_page
from core.storage import StoredObject
from core.tables import Alias, Checkpoint, Job, Model

# A model must be reachable by its name: GET /v1/models/compare is another route, and references
# that begin with `mdl_` or `job_` are ids.
NAME = re.compile(r"(?!(compare|import)\Z|mdl_|job_)\w[\w .-]{0,127}")
NAME_RULE = (
    "must have only letters, digits, spaces, dots, dashes and underscores; it must not be "
    "`compare` or `import`, nor begin with a space, a dot, a dash, `mdl_` or `job_`"
)
ALIAS = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
LATEST = "latest"  # `name@latest` is the newest version, so it cannot be an alias
_REFERENCE = re.compile(
    r"(?P<name>\w[\w .-]*)(?::(?P<version>\d{1,9})|@(?P<alias>[A-Za-z][\w.-]{0,63}))?"
)
_CHECKPOINT = re.compile(r"(?P<job>job_\w+)@(?P<selector>latest|best|\d{1,18})", re.ASCII)


def sanitize_name(text: str) -> str:
    """Return a valid model name for a dataset's name; other characters become dashes."""
    name = re.sub(r"[^\w .-]+", "-", text).strip(" .-")[:128]
    return name if NAME.fullmatch(name) else f"model-{name}"[:128].rstrip("-")


def find_by_checkpoint(session: Session, job: Job, checkpoint: Checkpoint) -> Model | None:
    """Return the version that was created from this checkpoint."""
    return session.scalar(
        select(Model).where(Model.job_id == job.id, Model.step == checkpoint.step)
    )


def models_of_job(session: Session, tenant_id: str, job_id: str) -> dict[int, str]:
    """Return the id by training step of the models that were created from the job."""
    query = select(Model.step, Model.id).where(Model.tenant_id == tenant_id, Model.job_id == job_id)
    return {row.step: row.id for row in session.execute(query)}


def create_version(session: Session, job: Job, checkpoint: Checkpoint) -> Model:
    """Create the next version of the job's model, without adding it to the session."""
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
    """Add the next version of `name`, with weights that another server has trained."""
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
    # On PostgreSQL, two versions may be created concurrently: the second waits here for the first.
    latest = session.scalars(
        select(Model.version)
        .where(Model.tenant_id == tenant_id, Model.name == name)
        .order_by(Model.version.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    return (latest or 0) + 1


def get(session: Session, tenant_id: str, reference: str) -> Model:
    """Return the version that a reference names. Raises NotFound."""
    query = select(Model).where(Model.tenant_id == tenant_id)
    name = None
    if reference.startswith("mdl_"):
        query = query.where(Model.id == reference)
    else:
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise NotFound(
                "The model reference is invalid. Use `name`, `name:version`, `name@alias` or "
                "`mdl_…`."
            )
        name = match["name"]
        query = query.where(Model.name == name)
        if match["version"]:
            query = query.where(Model.version == int(match["version"]))
        elif match["alias"] and match["alias"] != LATEST:
            query = query.join(Alias, Alias.model_id == Model.id)
            query = query.where(Alias.name == match["name"], Alias.alias == match["alias"])
    model = session.scalar(query.order_by(Model.version.desc()).limit(1))
    if model is None:
        suggest = None if name is None else _suggestion(session, tenant_id, name)
        raise NotFound(f"Model {reference} does not exist.", suggest=suggest)
    return model


def _suggestion(session: Session, tenant_id: str, name: str) -> Callable[[], str]:
    """Return what creates a sentence with the newest version and aliases, or with similar names."""
    newest = select(func.max(Model.version)).where(Model.tenant_id == tenant_id, Model.name == name)
    if (version := session.scalar(newest)) is not None:
        aliases = select(Alias.alias).where(Alias.tenant_id == tenant_id, Alias.name == name)
        names = [f"{name}@{alias}" for alias in session.scalars(aliases.order_by(Alias.alias))]
        more = f"; its aliases are {', '.join(names)}" if names else ""
        return lambda: f"Its newest version is {name}:{version}{more}."
    newest_names = (
        select(Model.name)
        .where(Model.tenant_id == tenant_id)
        .group_by(Model.name)
        .order_by(func.max(Model.id).desc())
        .limit(similar_names.MAX_COMPARED)
    )
    others = session.scalars(newest_names).all()
    return lambda: similar_names.did_you_mean(similar_names.closest(name, others))


def training_state_of(session: Session, model: Model) -> StoredObject | None:
    """Return the state of the training that created the model, unless it was deleted.

    The model itself has only the generator; the state also has the critic.
    """
    files = session.scalar(
        select(Checkpoint.files).where(
            Checkpoint.job_id == model.job_id, Checkpoint.step == model.step
        )
    )
    return StoredObject.from_dict(files["state"]) if files and "state" in files else None


def resolve_sampling_sources(
    session: Session, tenant_id: str, reference: str, checkpoint: str | int | None = None
) -> list[Model]:
    """Return the models that a sampling request may use, in order of preference.

    Later entries are fallbacks for the case that the first one's file is damaged. A checkpoint is
    returned as the transient model that it would become: its id is `job_…@step` and it belongs to
    no session.

    `checkpoint` selects a checkpoint of the job that trained the model.

    Raises:
        NotFound: The model or job does not exist.
        NotReady: The job has no checkpoint yet.
        ValidationFailed: The checkpoint cannot be selected.
    """
    match = _CHECKPOINT.fullmatch(reference)
    if match is None and checkpoint is None:
        return [get(session, tenant_id, reference)]
    if match is not None and checkpoint is not None:
        raise _checkpoint_error(
            "`checkpoint` cannot be combined with a model reference that names a checkpoint. "
            "Remove one of the two."
        )
    if match is not None:
        job, selector = jobs.get(session, tenant_id, match["job"]), match["selector"]
    else:
        model = get(session, tenant_id, reference)
        if model.job_id is None:
            raise _checkpoint_error(
                f"{model.name}:{model.version} was imported and has no checkpoints."
            )
        job, selector = jobs.get(session, tenant_id, model.job_id), str(checkpoint)
    rows = jobs.checkpoints_of(session, tenant_id, job.id)
    if not rows:
        raise NotReady(f"Job {job.id} has no checkpoint yet. Retry later.", code="no_checkpoint")
    return [_as_model(job, row) for row in _select_checkpoints(rows, selector, job.id)]


def _select_checkpoints(
    rows: Sequence[Checkpoint], selector: str, job_id: str
) -> Sequence[Checkpoint]:
    """Select by `latest`, `best` or a step. `rows` are sorted newest first."""
    if selector == "latest":
        return rows
    if selector == "best":
        scored = [row for row in rows if row.score is not None]
        if not scored:
            raise _checkpoint_error(
                f"No checkpoint of {job_id} has a score. Select a step or `latest`."
            )
        return sorted(scored, key=lambda row: row.score or 0.0, reverse=True)[:1]
    matches = [row for row in rows if row.step == int(selector)]
    if not matches:
        raise _checkpoint_error(
            f"{job_id} has no checkpoint at step {selector}.", [row.step for row in rows]
        )
    return matches


def _checkpoint_error(message: str, allowed: Sequence[int] = ()) -> ValidationFailed:
    return ValidationFailed.of_field(
        "/checkpoint",
        "not_allowed",
        message,
        tuple(allowed[:20]) or None,
        code="checkpoint_unknown",
    )


def _as_model(job: Job, checkpoint: Checkpoint) -> Model:
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


def existing_ids(session: Session, ids: Collection[str]) -> set[str]:
    """Return those of the ids of models and checkpoints (`job_…@step`) that are not deleted."""
    job_ids = {model_id.partition("@")[0] for model_id in ids if "@" in model_id}
    steps = select(Checkpoint.job_id, Checkpoint.step).where(Checkpoint.job_id.in_(job_ids))
    checkpoints = {f"{job_id}@{step}" for job_id, step in session.execute(steps)}
    models = select(Model.id).where(Model.id.in_([each for each in ids if "@" not in each]))
    return (checkpoints & set(ids)) | set(session.scalars(models))


def find_by_weights(session: Session, tenant_id: str, sha256: str) -> list[Model]:
    """Return up to 20 versions with exactly these weights, newest first."""
    same_weights = Model.weights["sha256"].as_string() == sha256
    query = select(Model).where(Model.tenant_id == tenant_id, same_weights)
    return list(session.scalars(query.order_by(Model.id.desc()).limit(20)))


def page(
    session: Session,
    tenant_id: str,
    request: PageRequest,
    *,
    modality: str | None = None,
    dataset_id: str | None = None,
) -> ListedPage[Model]:
    """Return a page of versions of models that pass all filters."""
    filters = []
    if modality is not None:
        filters.append(Model.modality == modality)
    if dataset_id is not None:
        filters.append(Model.dataset_id == dataset_id)
    return list_page(session, Model, tenant_id, request, filters)


def aliases_of(session: Session, models: Iterable[Model]) -> dict[str, list[str]]:
    """Return the aliases by model id; models without aliases are left out."""
    query = select(Alias.model_id, Alias.alias).where(Alias.model_id.in_([m.id for m in models]))
    aliases: dict[str, list[str]] = {}
    for model_id, alias in session.execute(query.order_by(Alias.alias)):
        aliases.setdefault(model_id, []).append(alias)
    return aliases


def set_alias(session: Session, model: Model, alias: str) -> None:
    """Point `name@alias` to this version; an existing alias is moved.

    Raises ValidationFailed if the alias is reserved or contains characters that are not allowed.
    """
    if not ALIAS.fullmatch(alias) or alias == LATEST:
        message = (
            f"`alias` must not be `{LATEST}`, which always means the newest version."
            if alias == LATEST
            else "`alias` must be at most 64 letters, digits, dots, dashes and underscores and "
            "start with a letter."
        )
        raise ValidationFailed.of_field("/alias", "invalid", message, code="alias_invalid")
    row = session.get(Alias, (model.tenant_id, model.name, alias))
    if row is None:
        row = Alias(tenant_id=model.tenant_id, name=model.name, alias=alias)
    row.model_id = model.id
    session.add(row)


def delete_alias(session: Session, model: Model, alias: str) -> None:
    row = session.get(Alias, (model.tenant_id, model.name, alias))
    if row is None:
        raise NotFound(f"Model {model.name}@{alias[:64]} does not exist.")
    session.delete(row)


def delete(session: Session, model: Model) -> list[str]:
    """Delete the model's row and the checkpoint that it was created from.

    Returns the keys of the objects to delete after the commit. Raises ResourceInUse while an alias
    points to the model or an active job needs it.
    """
    version = f"{model.name}:{model.version}"
    if aliases := aliases_of(session, [model]).get(model.id):
        names = [f"{model.name}@{alias}" for alias in aliases]
        raise ResourceInUse(
            f"{version} has aliases: {', '.join(names)}. Delete or move them first.", aliases=names
        )
    if job_ids := jobs.live_jobs_of_model(session, model):
        raise ResourceInUse(
            f"{version} is used by active jobs: {', '.join(job_ids[:5])}. "
            "Cancel them or wait until they end.",
            jobs=list(job_ids[:20]),
        )
    keys = [model.weights["key"]]
    if model.job_id is not None:
        keys += jobs.delete_checkpoint(session, model.job_id, model.step)
    session.execute(delete_rows(Model).where(Model.id == model.id))
    forget_tags(session, [model.id])
    forget_responses(session, [model.id])
    return list(dict.fromkeys(keys))


def detach_dataset(session: Session, tenant_id: str, dataset_id: str) -> None:
    """Remove the reference to the dataset from its models, so that it can be deleted."""
    session.execute(
        update(Model)
        .where(Model.tenant_id == tenant_id, Model.dataset_id == dataset_id)
        .values(dataset_id=None)
    )
