"""Data quality issues of a table and its schema, which can still be used for training."""

from collections.abc import Collection, Sequence

from core.datasets.data_quality import Issue
from modalities.tabular.schema import PERSONAL_KINDS, Schema
from modalities.tabular.typed_parquet import TypedParquet
from modalities.tabular.upload.duplicates import duplicates_issue
from modalities.tabular.upload.profile import ColumnProfile
from modalities.tabular.upload.reading_issues import column_issue
from modalities.tabular.upload.target_leakage import find_leaking_columns
from modalities.tabular.upload.types.code_columns import is_public_code
from modalities.tabular.upload.types.identifier_kinds import is_nearly_unique, kind_of_texts
from modalities.tabular.upload.types.mixed_identifiers import mixed_identifiers_issue
from modalities.tabular.upload.types.ordered_categories import are_groups, are_symbols
from modalities.tabular.upload.types.public_rows import names_public_rows
from modalities.tabular.upload.types.text_exceptions import text_exceptions_issue
from modalities.tabular.upload.unique_pairs import unique_pairs_issue
from models.tabular.identifiers.words.public_words import MAX_LISTED, are_listed
from models.tabular.relations.texts.joined_text import JoinedText

RARE_VALUE_COUNT = 10  # rows; values in fewer may identify somebody
MIN_RARE_VALUES = 5
MIN_ROWS = 100
MIN_LABEL_ROWS = 10
HIGH_CARDINALITY = 100
HIGH_MISSING_FRACTION = 0.5


def find_schema_issues(
    rows: TypedParquet,
    schema: Schema,
    profiles: Sequence[ColumnProfile],
    joined_texts: Sequence[JoinedText],
) -> list[Issue]:
    included = [profile for profile in profiles if not profile.column.exclude]
    issues = [
        _few_rows(rows.rows),
        _tiny_classes(schema, included),
        duplicates_issue(rows),
        unique_pairs_issue(rows, schema),
        *_type_issues(profiles),
        *_value_issues(included),
        text_exceptions_issue(rows, schema, joined_texts),
        mixed_identifiers_issue(included),
        column_issue(
            "target_leakage",
            "warning",
            find_leaking_columns(rows, schema),
            "These columns determine the target; exclude each one that is a copy of it.",
        ),
    ]
    return [issue for issue in issues if issue is not None]


def _type_issues(profiles: Sequence[ColumnProfile]) -> list[Issue | None]:
    return [
        column_issue(
            "free_text",
            "warning",
            [p.column.name for p in profiles if p.column.type == "text"],
            "Free text cannot be learned: these columns are excluded and absent from samples. To "
            "have them in samples, set `identifier` in the schema: `regenerate` for new values, or "
            "`keep` for those of the data.",
        ),
        column_issue(
            "id_like_column",
            "info",
            [
                p.column.name + (f" ({p.column.format})" if p.column.format else "")
                for p in profiles
                if p.column.type == "id" and not p.column.exclude
            ],
            "Identifiers and nearly unique texts are not learned: samples have values that are "
            "built from the form of the column. Most kinds are not compared with the values of the "
            "table: where the form leaves few values, some equal a real one by chance. In names of "
            "things, only words that at least 3 rows share and public words "
            "stay. To change that, set `identifier` in the schema: `drop` leaves the column out, "
            "`keep` learns the values of the data.",
        ),
    ]


def _value_issues(profiles: Sequence[ColumnProfile]) -> list[Issue | None]:
    constant = [p.column.name for p in profiles if p.distinct == 1 and not p.missing]
    high_cardinality = [
        f"{p.column.name}: {p.counts.distinct:,} values"
        for p in profiles
        if p.column.type == "category" and p.counts.distinct > HIGH_CARDINALITY
    ]
    missing = [p for p in profiles if p.missing]
    are_public = any(map(_names_public_rows, profiles))
    names = [profile.column.name for profile in profiles]
    mostly_missing = any(p.missing > HIGH_MISSING_FRACTION * p.count for p in missing)
    return [
        column_issue(
            "personal_values",
            "error",
            [each for p in profiles if (each := _personal_values(p, names, are_public=are_public))],
            "Samples would show rare values of the data in these columns, which can identify "
            "people. Before training, set `identifier` in the schema: `regenerate` for new values, "
            "or `drop`.",
        ),
        column_issue(
            "constant_column",
            "info",
            constant,
            "All rows have the same value, so there is nothing to learn.",
        ),
        column_issue(
            "high_cardinality",
            "warning",
            high_cardinality,
            "Rare values are learned badly or not at all; group them, or exclude the column.",
        ),
        column_issue(
            "missing",
            "warning" if mostly_missing else "info",
            [f"{p.column.name}: {p.missing:,} of {p.count:,} rows" for p in missing],
            "Missing values are learned like other values, so samples contain them too.",
        ),
    ]


def _names_public_rows(profile: ColumnProfile) -> bool:
    """Return True if each row has another entry of a public list, such as a country."""
    counts, valid = profile.counts, profile.count - profile.missing
    return profile.column.type == "category" and names_public_rows(counts, valid)


def _personal_values(
    profile: ColumnProfile, others: Collection[str], *, are_public: bool
) -> str | None:
    """Return the column's name and kind if it holds rare values of people, or hardly others.

    `others` are the names of the columns. `are_public`: the rows are entries of a public list, and
    so are their codes and names.
    """
    if profile.column.type != "category":
        return None
    counts = profile.counts.values
    rare = [str(value) for value, count in counts.items() if count < RARE_VALUE_COUNT]
    if len(rare) < MIN_RARE_VALUES:
        return None
    texts = [str(value) for value in counts]
    is_public = are_listed(texts[:MAX_LISTED]) or is_public_code(profile.column.name, texts)
    if is_public or are_symbols(texts) or are_groups(texts):
        return None
    kind = kind_of_texts(profile.column.name, rare, others)
    is_unique = is_nearly_unique(len(counts), profile.count - profile.missing)
    if kind not in PERSONAL_KINDS and (are_public or not is_unique):
        return None
    name = profile.column.name if kind is None else f"{profile.column.name} ({kind})"
    return f"{name}: {len(rare):,} values in fewer than {RARE_VALUE_COUNT} rows each"


def _few_rows(rows: int) -> Issue | None:
    if rows >= MIN_ROWS:
        return None
    hint = f"There are fewer than {MIN_ROWS} rows; samples will be little more than copies of them."
    return Issue("few_rows", "warning", rows, (), hint)


def _tiny_classes(schema: Schema, profiles: Sequence[ColumnProfile]) -> Issue | None:
    """Report the labels of few rows, the rarest first, unless the target column has numbers."""
    target = next((each for each in profiles if each.column.name == schema.target), None)
    if target is None or target.column.type not in ("category", "boolean"):
        return None
    rows = sorted((count, str(label)) for label, count in target.counts.values.items())
    return column_issue(
        "tiny_class",
        "warning",
        [f"{label}: {count}" for count, label in rows if count < MIN_LABEL_ROWS],
        f"These labels have fewer than {MIN_LABEL_ROWS} rows each, from which little can be "
        "learned: samples of them are close to these rows, or like those of other labels. Add "
        "rows, merge them with other labels, or request none of them.",
    )
