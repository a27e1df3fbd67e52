"""`/v1/models/{reference}/…`: what there is to know of a model, and the model itself as a file."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from app import model_report, negotiation, report_page
from app.architecture_drawing import svg
from app.authentication import Caller, Reader, Trainer
from app.model_card import card_of, page_of
from app.once import Key, Remember, created, once
from app.report_table import csv_of
from app.schemas.models import (
    Architecture,
    ColumnCondition,
    Conditions,
    LabelCondition,
    ModelView,
)
from app.schemas.reports import Report
from app.strict import StrictRoute
from core import registry
from core.database import read, write
from core.errors import Invalid, TooLarge, UnsupportedMedia
from core.ids import new_id
from core.settings import get_settings
from core.storage import Stored, get_storage, key_of

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute)

Accept = Annotated[str | None, Header()]
CARDS = {"json": "application/json", "html": "text/html"}
REPORTS = {**CARDS, "csv": "text/csv"}
DRAWINGS = {"json": "application/json", "svg": "image/svg+xml"}
# Nothing is loaded from anywhere, whatever stands in a name.
SEALED = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
PICTURED = {"Content-Security-Policy": SEALED["Content-Security-Policy"] + "; img-src data:"}


@router.get("/{reference}/conditions", response_model=Conditions)
def read_conditions(reference: str, caller: Reader) -> Conditions:
    """The labels that can be asked for and how often each was learned from; of a table, the values
    or the range of each column, too."""
    with read() as session:
        model = registry.drawable(session, caller.tenant_id, reference)[0]
    labels = model.manifest["labels"]
    total = sum(label["count"] or 0 for label in labels) or 1
    return Conditions(
        labels=[
            LabelCondition(
                name=label["name"],
                share=None if label["count"] is None else label["count"] / total,
            )
            for label in labels
        ],
        columns=_columns(model.manifest.get("columns")),
        rules=model.manifest["config"]["config"].get("rules"),
        found_rules=model.manifest.get("found_rules"),
        seed={"min": 0, "max": 2**63 - 1},
        count={"min": 1, "max": get_settings().limits.samples},
    )


def _columns(columns: list[dict[str, Any]] | None) -> list[ColumnCondition] | None:
    if columns is None:
        return None
    return [
        ColumnCondition(
            name=column["name"],
            type=column["type"],
            nullable=column["nullable"],
            **{k: v for k, v in column["known"].items() if k != "more"},
        )
        for column in columns
        if column["known"] is not None
    ]


@router.get(
    "/{reference}/card",
    response_class=Response,
    responses={200: {"content": {media: {} for media in CARDS.values()}}},
)
def read_card(
    reference: str,
    caller: Reader,
    format: Annotated[str | None, Query(description="json or html; overrides `Accept`")] = None,
    accept: Accept = None,
) -> Response:
    """What the model was made of and how, what was measured of it, and what it is not good for."""
    chosen = negotiation.choose(CARDS, format=format, accept=accept, default="json")
    with read() as session:
        model = registry.get(session, caller.tenant_id, reference)
        found = model_report.find(session, model)
    card = card_of(model, model_report.report_of(model, found, get_storage()))
    headers = {"Vary": "Accept"}
    if chosen == "html":
        return Response(page_of(card), headers=headers | SEALED, media_type=CARDS["html"])
    return Response(card.model_dump_json(), headers=headers, media_type=CARDS["json"])


@router.get(
    "/{reference}/report",
    response_model=Report,
    responses={200: {"content": {"text/html": {}, "text/csv": {}}}},
)
def read_report(
    reference: str,
    caller: Reader,
    format: Annotated[
        str | None, Query(description="json, html or csv; overrides `Accept`")
    ] = None,
    accept: Accept = None,
) -> Response:
    """How good the model is, by its newest evaluation: scores beside those of real items and of
    naive samples, and a verdict in words; as HTML with plots; as CSV the statistics of columns
    alone. `state` tells of the newest job."""
    chosen = negotiation.choose(REPORTS, format=format, accept=accept, default="json")
    with read() as session:
        model = registry.get(session, caller.tenant_id, reference)
        found = model_report.find(session, model)
    report = model_report.report_of(model, found, get_storage())
    headers = {"Vary": "Accept"}
    if chosen == "html":
        page = report_page.page_of(
            report, found.course, model_report.pictures_of(found, get_storage())
        )
        return Response(page, headers=headers | PICTURED, media_type=CARDS["html"])
    if chosen == "csv":
        return Response(csv_of(report), headers=headers, media_type=REPORTS["csv"])
    return Response(report.model_dump_json(), headers=headers, media_type=CARDS["json"])


@router.get(
    "/{reference}/architecture",
    response_model=Architecture,
    responses={200: {"content": {"image/svg+xml": {}}}},
)
def read_architecture(
    reference: str,
    caller: Reader,
    format: Annotated[str | None, Query(description="json or svg; overrides `Accept`")] = None,
    accept: Accept = None,
) -> Response:
    """The networks that draw: layers, shapes, parameters; as JSON or as a drawing."""
    chosen = negotiation.choose(DRAWINGS, format=format, accept=accept, default="json")
    with read() as session:
        model = registry.drawable(session, caller.tenant_id, reference)[0]
    from models.architecture import architecture  # torch: it may still be loading

    with get_storage().open(Stored.from_dict(model.weights)) as path:
        found = Architecture.of(model, architecture(path))
    headers = {"Vary": "Accept"}
    if chosen == "svg":
        title = f"{model.name}:{model.version}" if model.version else model.id
        return Response(svg(found, title), headers=headers | SEALED, media_type=DRAWINGS["svg"])
    return Response(found.model_dump_json(), headers=headers, media_type=DRAWINGS["json"])


@router.get(
    "/{reference}/export",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def export_model(
    reference: str, caller: Reader, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The model as a zip: a manifest with the sha256 of each file, the weights as safetensors, what
    can be asked for, the card. The same bytes until it is measured again; another service can
    import it."""
    with read() as session:
        model = registry.get(session, caller.tenant_id, reference)
        found = model_report.find(session, model)
    from app.model_archive import Archive  # pyarrow: it may still be loading

    card = card_of(model, model_report.report_of(model, found, get_storage()))
    archive = Archive(model, card.model_dump_json().encode())
    headers = {
        "ETag": f'"{archive.sha256}"',
        "Content-Disposition": f'attachment; filename="{model.id}.zip"',
    }
    if if_none_match is not None and archive.sha256 in if_none_match:
        return Response(status_code=304, headers=headers)
    return StreamingResponse(
        archive.pieces(get_storage()), headers=headers, media_type="application/zip"
    )


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
    caller: Trainer,
    name: Annotated[str | None, Query(description="default: the name that it had")] = None,
    idempotency_key: Key = None,
) -> Response:
    """Make the next version of a name of an exported model. Hashes, format and weights are checked;
    it gives the samples that it gave where it was trained."""
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    if media != "application/zip":
        raise UnsupportedMedia("send the exported file, as Content-Type: application/zip")
    if name is not None and not registry.NAME.fullmatch(name):
        raise Invalid("letters, digits, blanks, dots, dashes and underscores only")
    limit = get_settings().limits.model_bytes
    with tempfile.TemporaryDirectory(dir=get_settings().scratch, prefix="import-") as folder:
        path, size = Path(folder) / "model.zip", 0
        with path.open("wb") as out:
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise TooLarge(f"an exported model may have {limit} bytes", limit=limit)
                out.write(piece)
        return await run_in_threadpool(_imported, caller, idempotency_key, path, name)


def _imported(caller: Caller, key: str | None, path: Path, name: str | None) -> Response:
    from app.model_archive import opened  # pyarrow: it may still be loading

    with opened(path) as found:

        def create(remember: Remember) -> Response:
            found.check()
            model_id = new_id("mdl")
            stored: Stored = get_storage().put_file(
                key_of(caller.tenant_id, "models", f"{model_id}.safetensors"), found.weights
            )
            try:
                with write() as session:
                    model = registry.imported(
                        session,
                        caller.tenant_id,
                        name or found.about.name,
                        model_id=model_id,
                        step=found.about.step,
                        weights=stored,
                        manifest=found.encoder,
                    )
                    view = ModelView.of(model)
                    remember(session, 201, view)
            except BaseException:
                get_storage().delete([stored.key])
                raise
            return created(201, view)

        request = ["POST /v1/models/import", name, found.about.files["model.safetensors"].sha256]
        return once(caller, key, request, create)
