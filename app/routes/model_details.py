"""`/v1/models/{reference}/…`: details of a model, and model export and import."""

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app import content_negotiation, model_report
from app.authentication import (
    Caller,
    DataReadScope,
    ReadOrSampleScope,
    ReadScope,
    TrainScope,
)
from app.byte_range import RANGE_HEADERS, IfRangeHeader, RangeHeader, cut, ranged_response
from app.content_negotiation import AcceptHeader
from app.fairness.route import FairRoute, route_threads
from app.http_methods import sends_content
from app.idempotent_requests import (
    IdempotencyKeyHeader,
    SaveResponse,
    run_idempotently,
)
from app.model_card import ModelCard, build_card
from app.openapi_responses import responses
from app.pages import model_card_page, report_page
from app.pages.architecture_svg import render_svg
from app.report_csv import render_csv
from app.schemas.models import (
    Architecture,
    EvaluationView,
    LabelOption,
    ModelEvaluations,
    ModelView,
    SamplingOptions,
)
from app.schemas.pagination import Limit, page_size
from app.schemas.reports import Report
from core import audit, jobs, model_registry, process_folder, quotas
from core.database import read, write
from core.errors import TooLarge, UnsupportedMedia, ValidationFailed
from core.ids import new_id
from core.listing import PageRequest
from core.settings import get_settings
from core.storage import StoredObject, get_storage, key_of
from core.tables import JobKind
from modalities import registry

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=FairRoute)

CARD_TYPES = {"json": "application/json", "html": "text/html"}
REPORT_TYPES = {**CARD_TYPES, "csv": "text/csv"}
ARCHITECTURE_TYPES = {"json": "application/json", "svg": "image/svg+xml"}
# A page loads no resources, even if a user-chosen name contains markup.
CSP_NO_RESOURCES = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
CSP_INLINE_IMAGES = {
    "Content-Security-Policy": CSP_NO_RESOURCES["Content-Security-Policy"] + "; img-src data:"
}


@router.get("/{reference}/sampling-options", response_model=SamplingOptions)
def read_sampling_options(reference: str, caller: ReadOrSampleScope) -> SamplingOptions:
    """Return the labels of a model and their fractions in the training data.

    For a table, also return the values or the range of each column.
    """
    with read() as session:
        model = model_registry.resolve_sampling_sources(session, caller.tenant_id, reference)[0]
    labels = model.manifest["labels"]
    total = sum(label["count"] or 0 for label in labels) or 1
    return SamplingOptions(
        labels=[
            LabelOption(
                name=label["name"],
                fraction=None if label["count"] is None else label["count"] / total,
            )
            for label in labels
        ],
        **registry.get(model.modality).describe_conditions(model.manifest),
        seed={"min": 0, "max": 2**63 - 1},
        count={"min": 1, "max": get_settings().limits.samples},
    )


@router.get(
    "/{reference}/card",
    response_class=Response,
    responses=responses("text/html", model=ModelCard),
)
def read_card(
    reference: str,
    caller: ReadScope,
    format: Annotated[
        str | None, Query(description="`json` or `html`; overrides `Accept`.")
    ] = None,
    accept: AcceptHeader = None,
) -> Response:
    """Return the model card: training data, training, evaluation and limitations."""
    output_format = content_negotiation.negotiate(
        CARD_TYPES, format=format, accept=accept, default="json"
    )
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        evaluations = model_report.load_evaluations(session, model)
    card = build_card(model, model_report.build_report(model, evaluations, get_storage()))
    headers = {"Vary": "Accept"}
    if output_format == "html":
        page = model_card_page.render_page(card)
        return Response(page, headers=headers | CSP_NO_RESOURCES, media_type=CARD_TYPES["html"])
    return Response(card.model_dump_json(), headers=headers, media_type=CARD_TYPES["json"])


@router.get(
    "/{reference}/report",
    response_model=Report,
    responses=responses("text/html", "text/csv"),
)
def read_report(
    reference: str,
    caller: ReadScope,
    format: Annotated[
        str | None, Query(description="`json`, `html` or `csv`; overrides `Accept`.")
    ] = None,
    accept: AcceptHeader = None,
) -> Response:
    """Return the report of the newest successful evaluation; `state` is that of the newest one.

    It has a verdict, and scores next to those of real items and of a naive baseline. HTML includes
    plots and, for keys with the scope `data:read`, pictures of real items next to samples; CSV only
    has the column statistics.
    """
    output_format = content_negotiation.negotiate(
        REPORT_TYPES, format=format, accept=accept, default="json"
    )
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        evaluations = model_report.load_evaluations(session, model)
    report = model_report.build_report(model, evaluations, get_storage())
    headers = {"Vary": "Accept"}
    if output_format == "html":
        pictures = {}
        if caller.scopes & {"data:read", "admin"}:  # they show training data
            pictures = model_report.load_pictures(report, evaluations, get_storage())
        page = report_page.render_page(report, evaluations.training_metrics, pictures)
        return Response(page, headers=headers | CSP_INLINE_IMAGES, media_type=CARD_TYPES["html"])
    if output_format == "csv":
        return Response(render_csv(report), headers=headers, media_type=REPORT_TYPES["csv"])
    return Response(report.model_dump_json(), headers=headers, media_type=CARD_TYPES["json"])


@router.get("/{reference}/evaluations", response_model=ModelEvaluations)
def list_evaluations(reference: str, caller: ReadScope, limit: Limit = 50) -> ModelEvaluations:
    """List the newest evaluations of a model, whatever became of them, newest first."""
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        page = PageRequest(page_size(limit))
        rows = jobs.page(
            session, caller.tenant_id, page, kind=JobKind.EVALUATION, model_id=model.id
        ).rows
    return ModelEvaluations(data=[EvaluationView.of(job) for job in rows])


@router.get(
    "/{reference}/architecture",
    response_model=Architecture,
    responses=responses("image/svg+xml"),
)
def read_architecture(
    reference: str,
    caller: ReadScope,
    format: Annotated[str | None, Query(description="`json` or `svg`; overrides `Accept`.")] = None,
    accept: AcceptHeader = None,
) -> Response:
    """Return the networks of the model: layers, shapes and parameters, as JSON or as a diagram."""
    output_format = content_negotiation.negotiate(
        ARCHITECTURE_TYPES, format=format, accept=accept, default="json"
    )
    with read() as session:
        model = model_registry.resolve_sampling_sources(session, caller.tenant_id, reference)[0]
    modality = registry.get(model.modality)
    with get_storage().open(StoredObject.from_dict(model.weights)) as path:
        architecture = Architecture.of(model, modality.describe_networks(path))
    headers = {"Vary": "Accept"}
    if output_format == "svg":
        title = f"{model.name}:{model.version}" if model.version else model.id
        return Response(
            render_svg(architecture, title),
            headers=headers | CSP_NO_RESOURCES,
            media_type=ARCHITECTURE_TYPES["svg"],
        )
    return Response(
        architecture.model_dump_json(), headers=headers, media_type=ARCHITECTURE_TYPES["json"]
    )


@router.get(
    "/{reference}/export",
    response_class=Response,
    responses=responses(
        "application/zip", headers=(*RANGE_HEADERS, "Content-Disposition"), ranges=True
    ),
)
def export_model(
    request: Request,
    reference: str,
    caller: DataReadScope,
    range: RangeHeader = None,
    if_range: IfRangeHeader = None,
) -> Response:
    """Download the model as a zip file that another service can import.

    The archive has a manifest with the SHA-256 of each file, the weights as safetensors, the
    model manifest and the model card. Its bytes are the same until the next evaluation, so a
    download can be resumed with `Range` and `If-Range`. The audit log has an entry for each
    response with content.
    """
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        evaluations = model_report.load_evaluations(session, model)
    from app.model_archive import ModelExport  # pyarrow is slow to load

    card = build_card(model, model_report.build_report(model, evaluations, get_storage()))
    archive = ModelExport(model, card.model_dump_json().encode())
    headers = {
        "ETag": f'"{archive.sha256}"',
        "Content-Disposition": f'attachment; filename="{model.id}.zip"',
    }
    response = ranged_response(
        lambda start, end: cut(archive.stream(get_storage()), start, end),
        archive.size,
        range,
        if_range,
        tenant_id=caller.tenant_id,
        headers=headers,
        media_type="application/zip",
    )
    if sends_content(request, response):
        with write() as session:
            audit.record(session, caller, "model.download", model.id)
    return response


@router.post(
    "/import",
    status_code=201,
    response_model=ModelView,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_model(
    request: Request,
    caller: TrainScope,
    name: Annotated[
        str | None, Query(description="Name of the model. Default: its name in the archive.")
    ] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Import an exported model as the next version of its name.

    The service verifies hashes, format and weights. The model generates the same samples as in
    the service that trained it.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    if media != "application/zip":
        raise UnsupportedMedia("Send the exported file with Content-Type: application/zip.")
    if name is not None and not model_registry.NAME.fullmatch(name):
        message = f"`name` {model_registry.NAME_RULE}."
        raise ValidationFailed.of_field("/name", "invalid", message)
    limit = get_settings().limits.model_bytes
    with tempfile.TemporaryDirectory(dir=process_folder.get(), prefix="import-") as folder:
        path, size = Path(folder) / "model.zip", 0
        with path.open("wb") as out:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(
                        f"An exported model may have at most {limit} bytes.", limit=limit
                    )
                out.write(chunk)
        return await route_threads.run(
            caller.tenant_id, _import, caller, idempotency_key, path, name
        )


def _import(caller: Caller, key: str | None, path: Path, name: str | None) -> Response:
    from app.model_archive import open_archive  # pyarrow is slow to load

    with open_archive(path) as archive:

        def create(save: SaveResponse) -> tuple[int, ModelView]:
            with read() as session:
                quotas.check_storage(session, caller.tenant_id, path.stat().st_size)
            archive.check(caller.tenant_id)
            model_id = new_id("mdl")
            stored: StoredObject = get_storage().put_file(
                key_of(caller.tenant_id, "models", f"{model_id}.safetensors"), archive.weights
            )
            try:
                with write() as session:
                    model = model_registry.create_imported_version(
                        session,
                        caller.tenant_id,
                        name or archive.manifest.name,
                        model_id=model_id,
                        step=archive.manifest.step,
                        weights=stored,
                        manifest=archive.model_manifest,
                    )
                    audit.record(session, caller, "model.import", model.id)
                    view = ModelView.of(model)
                    save(session, 201, view)
            except BaseException:
                get_storage().delete([stored.key])
                raise
            return 201, view

        request = [
            "POST /v1/models/import",
            name,
            archive.manifest.files["model.safetensors"].sha256,
        ]
        return run_idempotently(caller, key, request, create)
