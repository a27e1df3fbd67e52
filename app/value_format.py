"""Numbers, scores and dates as text for pages, charts and CSV files."""

from datetime import UTC, datetime


def format_number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    if abs(value) >= 1e6:
        return f"{value:.4g}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3f}"


def format_rounded(value: float) -> str:
    """Return the value with four significant digits, without an exponent up to a trillion."""
    text = f"{value:.4g}"
    return f"{float(text):,.0f}" if 1e4 <= abs(float(text)) < 1e12 else text


def format_score(value: float | None) -> str:
    # A fixed number of decimals aligns the values of a column.
    return "" if value is None else f"{value:,.3f}"


def format_date(microseconds: float) -> str:
    """Return the ISO date of a time in microseconds since 1970 (UTC)."""
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return format_number(microseconds)


def format_duration(microseconds: float) -> str:
    """Return a duration, or a time of day, as hours, minutes and seconds."""
    seconds = round(abs(microseconds) / 1e6)
    sign = "-" if microseconds < 0 and seconds else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def format_value(value: float, type: str | None) -> str:
    """Return a rounded number of a column; those of dates and times are in microseconds."""
    if type == "datetime":
        return format_date(value)
    return format_duration(value) if type in ("time", "duration") else format_rounded(value)
