"""Names of streets: their language, their parts, and pools of other streets."""

import re
from collections.abc import Iterable, Sequence

from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.tokens import Token, Tokens
from models.tabular.identifiers.words.library_words import POOL_SIZE, drawn, names
from models.tabular.identifiers.words.words import in_case, word_tokens

_STREET_LOCALES = {
    "de_DE": r"stra(?:ß|ss)e|str\.|weg\b|platz\b|allee\b|gasse\b",
    "fr_FR": r"\b(?:rue|avenue de|boulevard|chemin|impasse)\b",
    "es_ES": r"\b(?:calle|avenida|paseo|plaza|camino|acceso|glorieta|ronda|callej[oó]n|pasaje)\b",
    "it_IT": r"\b(?:via|viale|piazza|corso|vicolo|strada|largo|contrada)\b",
    "pl_PL": r"\b(?:ul|ulica|al|aleja|plac|os)\b",
    "pt_BR": r"\b(?:rua|travessa|pra[cç]a|rodovia|alameda)\b",
    "sv_SE": r"gatan\b|v[aä]gen\b|v[aä]g\b",
    "cs_CZ": r"\b(?:n[aá]m|n[aá]m[eě]st[ií]|t[rř][ií]da|ulice)\b",
    "ru_RU": r"\b(?:ул|улица|пр|проспект|пер|переулок|пл|площадь)\b",
    "nl_NL": r"straat\b|laan\b|\bplein\b",
}
# Words for streets, which stay as they are, and endings of names of streets in one word.
_STREET_WORD = re.compile(
    r"(?i)st|street|ave|av|avenue|rd|road|dr|drive|ln|lane|blvd|boulevard|bd|bld|way|ct|court|pl|place|"
    r"sq|square|ter|terrace|hwy|highway|cir|circle|pkwy|parkway|trl|trail|close|crescent|gardens?|grove|"
    r"row|mews|walk|alley|mall|quay|unit|suite|ste|apt|floor|level|box|po|north|south|east|west|n|s|e|w|"
    r"ne|nw|se|sw|upper|lower|old|new|rue|chemin|impasse|all[eé]e|quai|cours|route|faubourg|passage|"
    r"calle|c|avenida|avda|av|paseo|plaza|pza|carretera|ctra|camino|rambla|via|viale|piazza|"
    r"piazzale|corso|largo|vicolo|strada|rua|travessa|pra[cç]a|estrada|alameda|rodovia|ul|ulica|ulice|al|"
    r"aleja|os|plac|n[aá]m|n[aá]m[eě]st[ií]|t[rř][ií]da|u|utca|út|tér|krt|stra(?:ß|ss)e|str|weg|platz|"
    r"allee|gasse|ring|am|an|auf|der|die|den|dem|im|in|zum|zur|straat|laan|plein|kade|gata|gatan|v[aä]g|"
    r"v[aä]gen|vej|gade|gate|veien|katu|tie|sokak|sok|sk|caddesi|cad|cd|mah|mahallesi|bulvar\w|no|nr|"
    r"ул|улица|пр|проспект|пр-т|пер|переулок|пл|площадь|бул|бульвар|наб|д|дом|кв|корп|οδός|λεωφόρος|"
    r"of|the|and|de|la|le|les|du|des|del|los|las|el|da|do|dos|das|di|della|dei|delle|van|von|het"
)
_JOINED_STREET = re.compile(
    r"(\w{2,}?)((?i:stra(?:ß|ss)e|str|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|plein|kade|gracht|"
    r"gatan|gata|v[aä]gen|v[aä]g|gade|vej|veien|gate|katu))"
)
_ORDINAL = re.compile(r"(\b[0-9]+(?:st|nd|rd|th)\b)")  # as in 13th Street


def street_locale(texts: Sequence[str]) -> str:
    """Return the locale whose words for streets most texts have."""
    counts = {
        locale: sum(bool(re.search(pattern, text, re.IGNORECASE)) for text in texts)
        for locale, pattern in _STREET_LOCALES.items()
    }
    best = max(counts, key=lambda locale: counts[locale])
    return best if 2 * counts[best] > len(texts) else "en_US"


def street_tokens(text: str) -> Tokens:
    """Split an address into words and numbers.

    Words for streets stay, and names such as Lindenweg have a kind for each ending.
    """
    return tuple(
        _street_token(token)
        for part in _ORDINAL.split(text)
        for token in ([Token(part, "ordinal")] if _ORDINAL.fullmatch(part) else word_tokens(part))
    )


def _street_token(token: Token) -> Token:
    if _STREET_WORD.fullmatch(token.text):
        return Token(token.text, "")
    joined = _JOINED_STREET.fullmatch(token.text)
    return token if joined is None else Token(token.text, f"street-{joined[2]}")


def street_pools(locale: str, tokens: Iterable[Tokens]) -> dict[str, Pool]:
    """Return pools of family names, which many streets have, and of streets in one word."""
    german = drawn("de_DE", "street_name")
    stems = [match[1] for match in map(_JOINED_STREET.fullmatch, german) if match is not None]
    kinds = {token.kind for each in tokens for token in each if token.kind.startswith("street-")}
    joined = {
        kind: tuple(dict.fromkeys(stem + kind.partition("-")[2] for stem in stems))[:POOL_SIZE]
        for kind in kinds
    }
    family_names = names(locale)[1]
    pools: dict[str, Pool] = {
        f"{case}-{group}": in_case(family_names, case)
        for group in range(3)
        for case in ("upper", "lower", "title")
    }
    numbers = range(1, 100)
    endings = {1: "st", 2: "nd", 3: "rd"}
    ordinals = (f"{n}{'th' if n in (11, 12, 13) else endings.get(n % 10, 'th')}" for n in numbers)
    return {**pools, **joined, "ordinal": tuple(ordinals)}
