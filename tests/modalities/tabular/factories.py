"""Small tables, generated in the tests."""

import datetime
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq


def build_csv(columns: Mapping[str, Sequence[object]]) -> str:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(str(value) for value in row) for row in rows)]
    return "\n".join(lines) + "\n"


def build_column_csv(*values: object, name: str = "a") -> str:
    """Build a CSV of this column and of a numeric column `n`."""
    return build_csv({name: values, "n": [10 * i % 7 for i in range(len(values))]})


def build_parquet(columns: Mapping[str, Any] | pa.Table, **options: Any) -> bytes:
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def build_arrow(columns: Mapping[str, Any], *, stream: bool = False) -> bytes:
    table, out = pa.table(dict(columns)), io.BytesIO()
    open_writer = pa.ipc.new_stream if stream else pa.ipc.new_file
    with open_writer(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def build_zip(entries: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def build_workbook(
    sheets: Mapping[str, Sequence[Sequence[object]]],
    *,
    hidden: Sequence[str] = (),
    merged: Sequence[str] = (),
) -> bytes:
    """Build an .xlsx file. A cell that begins with # is an error; None is an empty cell.

    `merged` are ranges of merged cells of all sheets, such as A2:A5.
    """
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    listed, relations, entries = "", "", dict[str, str | bytes]()
    ranges = "".join(f'<mergeCell ref="{each}"/>' for each in merged)
    ranges = f"<mergeCells>{ranges}</mergeCells>" if merged else ""
    for i, (name, rows) in enumerate(sheets.items(), start=1):
        state = ' state="hidden"' if name in hidden else ""
        listed += f'<sheet name="{name}" sheetId="{i}"{state} r:id="rId{i}"/>'
        relations += (
            f'<Relationship Id="rId{i}" Type="{office}/worksheet" Target="worksheets/s{i}.xml"/>'
        )
        cells = "".join(
            f'<row r="{r}">{"".join(_cell(v, r, c) for c, v in enumerate(row))}</row>'
            for r, row in enumerate(rows, start=1)
        )
        entries[f"xl/worksheets/s{i}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData>{ranges}</worksheet>'
        )
    relations += f'<Relationship Id="rIdS" Type="{office}/styles" Target="styles.xml"/>'
    formats = "".join(f'<xf numFmtId="{number}"/>' for number in (0, 14, 22, 21))
    return build_zip(
        {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship '
            f'Id="r" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}'
            "</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
            f"{relations}</Relationships>",
            "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs>{formats}</cellXfs>'
            "</styleSheet>",
            **entries,
        }
    )


def _cell(value: object, row: int, column: int) -> str:
    place = f'r="{chr(ord("A") + column)}{row}"'
    epoch = datetime.datetime.fromisoformat("1899-12-30")
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c {place} t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime.datetime):
        days = (value - epoch) / datetime.timedelta(days=1)
        return f'<c {place} s="2"><v>{days}</v></c>'
    if isinstance(value, datetime.date):
        days = (datetime.datetime.combine(value, datetime.time()) - epoch).days
        return f'<c {place} s="1"><v>{days}</v></c>'
    if isinstance(value, int | float):
        return f"<c {place}><v>{value}</v></c>"
    if str(value).startswith("#"):
        return f'<c {place} t="e"><v>{value}</v></c>'
    return f'<c {place} t="inlineStr"><is><t xml:space="preserve">{escape(str(value))}</t></is></c>'
