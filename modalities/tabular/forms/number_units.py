"""Texts that may be next to a number: currencies, units and signs.

Any other text makes a code, such as C710 or 12A.
"""

import re
from collections.abc import Sequence

from modalities.tabular.forms.number_scales import SCALES, split_scale

BLANKS = " \u00a0\u202f\u2009"
# Signs of currencies, also after letters, as in NT$ and CN¥, and codes and words.
_SIGNS_OF_CURRENCIES = (
    "$\u00a2-\u00a5\u058f\u060b\u09f2\u09f3\u0af1\u0bf9\u0e3f\u17db\u20a0-\u20cf\ufdfc\ufe69"
    "\uff04\uffe0\uffe1\uffe5\uffe6"
)
_CURRENCY_SIGN = re.compile(rf"[A-Za-z]{{0,3}}[{_SIGNS_OF_CURRENCIES}]")
CURRENCY_CODES = (
    "EUR USD GBP CHF JPY CNY INR SEK NOK DKK PLN CZK HUF CAD AUD NZD BRL MXN ZAR RUB TRY KRW SGD "
    "HKD AED SAR ILS THB IDR MYR PHP VND TWD EGP NGN KES PKR BDT LKR RON BGN RSD UAH KZT CLP ARS "
    "RMB"
)
_CURRENCIES = frozenset(
    f"{CURRENCY_CODES} "
    "Fr. Fr kr kr. zł Kč Ft Rs Rs. RM Rp Rp. lei KSh Ksh Bs. S/ S/. TL \\ "
    "\u0440 \u0440. \u0440\u0443\u0431 \u0440\u0443\u0431. \u043b\u0432 \u043b\u0432. "
    "\u0433\u0440\u043d \u0433\u0440\u043d. \u0111 \u4eba\u6c11\u5e01".split()
)
_SYMBOLS_OF_UNITS = (
    "% \u2030 ° °C °F kg g mg lb lbs oz km m cm mm mi ft km² m² m³ ha ml km/h mph kW kWh MWh Hz "
    "kHz MHz GHz kB MB GB TB h min s sec ms bps pp pts yrs years \" ' '' \u2032 \u2033 Nm"
)
_UNITS = frozenset(_SYMBOLS_OF_UNITS.split())
SIGNS = frozenset(["~", "≈", ">", "<", "≥", "≤", ">=", "<=", "ca.", "c.", "approx.", "about"])
_DAMAGED = frozenset(["?", "\ufffd"])  # a currency sign that an encoding lacks
_ENDS = r"/-|[.,:][-\u2013\u2014]{1,2}"  # instead of cents, as in 120,- and 120/-
_NO_CENTS = re.compile(rf"(?:{_ENDS})(?=$|[{BLANKS}])")
# Any other unit is a degree, follows a blank or a slash, has small letters, or is of East Asia:
# 72F, 72 /h, 40pcs, 1,200원, 30万円.
_EAST_ASIAN = "\u3005-\u3007\u3040-\u30ff\u3300-\u33ff\u3400-\u9fff\uac00-\ud7af"
_UNIT = re.compile(
    r"[CF]|(?!(?:st|nd|rd|th)\b)(?:(?<=[ \u00a0\u202f/])[^\W\d_]|[a-z\u00b5][^\W\d_]|[KMB](?= ))"
    rf"[^\d;#@()\[\]+\u2212-]{{0,20}}|[{_EAST_ASIAN}]{{1,4}}(?:/[^\W\d_]{{1,4}})?"
)
# Letters before a number with a mark of thousands, as in PKR 4,966 and R5,146.02, are a currency.
_AMOUNT = re.compile(
    rf"[-\u2212+(]?([^\W\d_]{{1,4}}\.?)[{BLANKS}]?[-\u2212]?[1-9]\d{{0,2}}"
    r"(?:(?:[,'\u2019]\d{3})+(?:\.\d\d?)?|(?:[. \u00a0\u202f]\d{3})+,\d\d?)\)?-?"
)


def is_currency(text: str) -> bool:
    return text in _CURRENCIES or _CURRENCY_SIGN.fullmatch(text) is not None


def is_prefix(text: str) -> bool:
    """Return True for a text that may stand before a number, without its sign and blanks."""
    return not text or text in SIGNS or text in _DAMAGED or text == "%" or is_currency(text)


def is_suffix(text: str) -> bool:
    """Return True for a text that may stand after a number, without its sign and blanks."""
    is_unit = not text or text in SIGNS or text in _UNITS or text in SCALES
    return is_unit or is_currency(text) or is_prefix(split_scale(text)[1].strip(BLANKS))


def is_unit(after: str) -> bool:
    """Return True for any other unit, which the blanks before it may distinguish."""
    begin = len(after) - len(after.lstrip(BLANKS + "/"))
    return _UNIT.fullmatch(after, begin) is not None


def split_end(after: str) -> tuple[str, str]:
    """Return the mark at the beginning of a text that replaces the cents, and the rest."""
    match = _NO_CENTS.match(after)
    return (match[0], after[match.end() :]) if match else ("", after)


def codes_of_currencies(texts: Sequence[str]) -> frozenset[str]:
    """Return the letters before amounts of the texts."""
    return frozenset(match[1] for match in map(_AMOUNT.fullmatch, texts) if match is not None)
