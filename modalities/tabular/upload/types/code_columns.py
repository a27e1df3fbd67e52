"""Recognition of numbers that name something instead of counting or measuring it.

Keys of other tables, such as `team_id`, and codes of lists, such as FIPS or NAICS, are numbers of
which neither the order nor the mean says anything. They are read as texts of digits.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from models.tabular.identifiers.words.public_words import english_words

# `id` or `key` as a word: team_id, id_player, teamId, BundeslandId_Impfort.
_KEY = re.compile(
    r"(?i:(?:^|[\W_])identifi(?:ers?|ants?|cador|cativo|kator)(?:$|[\W_])|(?:^|[\W_])(?:ids?|uid|[gops]id|fk|pk|guid|key|ref)$|^ids?[\W_])|(?:^|_)[B-DF-HJ-NP-TV-Z]{1,4}ID$|[a-z](?:Id|ID|Key|Ref)(?=$|[_\W\d])"
    r"|^(?:id|Id)[A-Z]"
)
_POINTED_KEY = re.compile(r"(?i:(?:^|[\W_])ids?$)|[a-z]I[dD]$")
_CODE = re.compile(
    r"(?i)codes?(?:$|[\W_\d])|^codes?[A-Z]|(?:^|[\W_])(?:c[oó]d(?:igo|ice)?|kode?|kennzahl|kennziffer|"
    r"schl[uü]ssel|cve|clave)(?:$|[\W_])"
)
# Whole numbers only: a column of this name may have the balance of an account.
_ACCOUNT = re.compile(
    r"(?i)(?:^|[\W_])(?:(?:gegen|sach)?konto|kostenstelle|kostentr[aä]ger|buchungskreis|"
    r"cost[\W_]?cent(?:er|re)|(?:gl|ledger)[\W_]?account)(?:$|[\W_])"
)
# Codes of things, persons, firms, airports and postal codes, which may belong to one row each.
_LISTS = re.compile(
    r"(?i)(?:^|[\W_\d])(?:zip|zip[345]|zipcode|iata|icao|postcode|postal|plz|cep|tract|"
    r"block_?group|siren|siret|ndc|npi|cusip|isin|sedol|cik|permno|gvkey|ein|duns|wban|usaf|wmo|tmc|sku|gtin|ean|upc|"
    r"isbn|issn|barcode|ssn|acct|account[\W_]?(?:no|nr|number)|licen[cs]e)(?:\d{0,2}$|\d{0,2}[\W_])"
)
# Codes of public lists of places, trades, goods and diseases.
_PUBLIC = re.compile(
    r"(?i:(?:^|[\W_\d])(?:fips|ansi|geoid\d{0,2}|ags|insee|nuts\d?|lau\d?|gss|naics|sic|isic|nace|cnae|"
    r"soc|isco|onet|hs\d{0,2}|hts|sitc|cpv|unspsc|cpc|icd(?:9|10|11)?(?:cm)?|cpt|hcpcs|drg|atc|"
    r"loinc|snomed|mesh|iso(?:639|3166|4217)?|m49|ccn3|huc\d{0,2}|cbsa|msa|mcc|mnc|(?:phone|calling|dial(?:ing)?)[\W_]?codes?)"
    r"(?:\d{0,2}$|\d{0,2}[\W_]))|[a-z](?:FIPS|ISO|NAICS|SIC)$|(?:STATE|COUNTY|TRACT|PLACE)FIPS$"
)
_MEASURE = re.compile(
    r"(?i)(?:^|[\W_])code[\W_]?(?:reviews?|quality|smells?|churn|changes?|commits?|complexity)(?:$|[\W_])|(?:(?<!ac)count|total|rate|share|percent|pct|value|amount|price|sum|mean|avg|size|length|lines|"
    r"level|score|days|coverage|ratio)$|lines[\W_]of"
)
_YEARS = range(1500, 2200)
_YEAR_NAME = re.compile(r"(?i)year|season|jahr|ann[eé]e|a[nñ]o|saison|temporada")
MIN_LONG_DIGITS, MIN_LONG_CODES, MAX_LONG_CODE_SHARE, MAX_ROUNDED = 9, 10, 0.34, 0.1
MIN_SURE_DIGITS, MAX_SURE_SHARE, MAX_SURE_ROUNDED = 12, 0.9, 0.5
_EPOCH = (10**9, 2_100_000_000)  # plausible seconds since 1970
MIN_STEM = 4  # letters of the word before `id`
MAX_CODE_CHARS = 16


def has_code_name(name: str, others: Collection[str] = ()) -> bool:
    """Return True if the name of a column says that its numbers are keys or codes.

    `others` are the names of the other columns of the table.
    """
    if _MEASURE.search(name):
        return False
    patterns = (_KEY, _CODE, _ACCOUNT, _LISTS, _PUBLIC)
    is_named = any(pattern.search(name) for pattern in patterns)
    return is_named or is_joined_id(name, others)


def may_have_points(name: str) -> bool:
    """Return True for codes that may look like decimal numbers, such as 250.00 and 1.10."""
    patterns = (_CODE, _PUBLIC, _POINTED_KEY)
    return any(pattern.search(name) for pattern in patterns) and not _MEASURE.search(name)


def is_public_code(name: str, texts: Sequence[str]) -> bool:
    """Return True for codes of public lists of places, trades, goods and diseases.

    Such a list may have one row for each code, which identifies nobody.
    """
    if not texts or _MEASURE.search(name) or not _PUBLIC.search(name):
        return False
    return all(len(text) <= MAX_CODE_CHARS and not re.search(r"\s", text) for text in texts)


def are_code_numbers(
    name: str, numbers: Sequence[int], valid: int, others: Collection[str] = ()
) -> bool:
    """Return True for the different integers of `valid` rows that are keys or codes.

    Years are not, whatever their name.
    """
    if not numbers or not (has_code_name(name, others) or _have_code_digits(numbers, valid)):
        return False
    are_years = min(numbers) in _YEARS and max(numbers) in _YEARS
    return not (are_years and _YEAR_NAME.search(name))


def _have_code_digits(numbers: Sequence[int], valid: int) -> bool:
    """Return True for numbers of the same nine or more digits that rows share, and not rounded.

    Numbers of twelve and more digits, with which nothing is measured, may be shared by fewer rows.
    """
    low, high = min(numbers), max(numbers)
    are_measured = low < 10 ** (MIN_SURE_DIGITS - 1)
    max_share, max_rounded = (
        (MAX_LONG_CODE_SHARE, MAX_ROUNDED) if are_measured else (MAX_SURE_SHARE, MAX_SURE_ROUNDED)
    )
    is_shared = MIN_LONG_CODES <= len(numbers) <= max_share * valid
    if not is_shared or low < 10 ** (MIN_LONG_DIGITS - 1) or len(str(low)) != len(str(high)):
        return False
    rounded = sum(number % 100 == 0 for number in numbers)
    return not are_epochs(low, high) and rounded <= max_rounded * len(numbers)


def are_epochs(low: int, high: int) -> bool:
    """Return True if numbers may be seconds since 1970, or parts of them."""
    units = (1, 10**3, 10**6, 10**9)
    return any(low >= unit * _EPOCH[0] and high < unit * _EPOCH[1] for unit in units)


def is_joined_id(name: str, others: Collection[str] = ()) -> bool:
    """Return True for names such as `geonameid`, but not for words such as `humid`.

    The letters before `id` must end in an English word, or be part of another column's name.
    """
    match = re.fullmatch(r"(?i)(?:.*[\W_])?(?P<stem>[a-z]{3,})ids?", name)
    if match is None:
        return False
    stem = match["stem"].casefold()
    if len(stem) < MIN_STEM:
        return False
    if any(stem in other.casefold() for other in others if other != name):
        return True
    return any(stem[i:] in _nouns() for i in range(len(stem) - MIN_STEM + 1))


@lru_cache(maxsize=1)
def _nouns() -> frozenset[str]:
    return frozenset(word for word in english_words() if len(word) >= MIN_STEM)
