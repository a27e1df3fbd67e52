"""Pools of words, names, streets and e-mail parts for identifiers, from the library Faker.

The pools are stored in the model, so samples do not depend on the version of the library.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from models.tabular.id_templates import Pool
from models.tabular.id_tokens import NAME_KINDS, Token, Tokens
from models.tabular.word_letters import WORD, script_of, without_marks

DRAWS, POOL_SIZE = 4_000, 500
SURE_SHARE = 0.8  # of the texts with names of one locale
MIN_FAMILY_FIRST = 0.35  # share of the texts that end with a given name
LOCALES = (
    "en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_BR", "sv_SE", "tr_TR",
    "cs_CZ", "ru_RU", "el_GR", "en_IN",
)  # fmt: skip
_LOCALES_OF_SCRIPTS = {
    "ARABIC": ("ar_AA", "fa_IR"),
    "BENGALI": ("bn_BD",),
    "DEVANAGARI": ("hi_IN", "ne_NP"),
    "HEBREW": ("he_IL",),
    "TAMIL": ("ta_IN",),
    "THAI": ("th_TH",),
}
# Titles, particles and suffixes of names of people.
_TITLE = re.compile(
    r"(?i)mr|mrs|ms|miss|dr|prof|rev|master|sir|lady|lord|mme|mlle|herr|frau|sig|sr|sra|jr|col|capt"
    r"|major|ing|mag|dipl|phd|md|don|dona|von|van|de|den|der|da|do|dos|del|della|di|la|le|du|al|bin"
    r"|ibn|ter|zu|af|och|and|und|et|with|rep|sen|senator|gov|governor|congressman|congresswoman|hon"
    r"|lt|sgt|capt|gen|adm|mayor|justice|judge|ambassador|pastor|father|sister|brother|officer|det"
)
_JOINT = re.compile(r"(?i)and|und|et|y|with|&|;|/|\|")  # between the names of several people
EXAMPLE_DOMAINS = ("example.com", "example.net", "example.org")  # RFC 2606

_LETTERS = re.compile(WORD)
_WORDS = re.compile(rf"{WORD}|[0-9]+|.", re.DOTALL)
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
_SEED = 0  # of the choice of pools


@lru_cache(maxsize=8)
def _faker(locale: str) -> Any:
    from faker import Faker  # slow to import, and most tables have no names

    return Faker(locale, use_weighting=False)


@lru_cache(maxsize=64)
def _drawn(locale: str, kind: str) -> Pool:
    """Return different values of a generator of the library, in a fixed order."""
    faker = _faker(locale)
    faker.seed_instance(_SEED)
    if kind == "word":
        return tuple(sorted({w.lower() for w in faker.get_words_list() if w.isascii()}))
    return tuple(dict.fromkeys(str(getattr(faker, kind)()) for _ in range(DRAWS)))


@lru_cache(maxsize=32)
def known_names(locale: str) -> tuple[Pool, Pool]:
    """Return given names and family names of one word, as many as the library has."""
    return tuple(  # type: ignore[return-value]
        tuple(name for name in _drawn(locale, kind) if _LETTERS.fullmatch(name))
        for kind in ("first_name", "last_name")
    )


def names(locale: str) -> tuple[Pool, Pool]:
    """Return given names and family names for new values."""
    given, family = known_names(locale)
    return given[:POOL_SIZE], family[:POOL_SIZE]


@lru_cache(maxsize=64)
def _folded_names(locale: str, kind: int) -> frozenset[str]:
    """Return the given (0) or family (1) names of the library, in small letters without accents."""
    return frozenset(_folded(name) for name in known_names(locale)[kind] if len(name) > 2)


def _folded(word: str) -> str:
    """Return a word in small letters without accents, which capitals often lack, and marks."""
    if word.isascii():
        return word.casefold()
    return "".join(filter(str.isalpha, unicodedata.normalize("NFKD", word.casefold())))


def name_share(texts: Sequence[str], locale: str) -> float:
    """Return the share of texts with a word that is a name of the locale."""
    name_words = _folded_names(locale, 0) | _folded_names(locale, 1)
    hits = sum(any(_folded(w) in name_words for w in _LETTERS.findall(text)) for text in texts)
    return hits / max(1, len(texts))


def given_name_share(texts: Sequence[str], locale: str) -> float:
    """Return the share of texts that begin with a given name, or have one after the comma.

    They may also end with it, if they begin with a family name in capitals.
    """
    given = _folded_names(locale, 0)
    hits = 0
    ends = sum(_ends_with_given_name(text, given) for text in texts)
    if ends >= MIN_FAMILY_FIRST * len(texts):
        return ends / len(texts)
    for text in texts:
        parts = text.split(",")[:2]
        words = [[w for w in _LETTERS.findall(part) if not is_title(w)] for part in parts]
        hits += any(part and _folded(part[0]) in given for part in words)
    return hits / max(1, len(texts))


def _ends_with_given_name(text: str, given: Collection[str]) -> bool:
    words = _LETTERS.findall(text)
    has_capitals = len(words) > 1 and words[0].isupper() and len(words[0]) > 1
    is_first = has_capitals and _folded(words[0]) not in given
    return "," not in text and is_first and _folded(words[-1]) in given


def are_family_first(texts: Sequence[str], locale: str) -> bool:
    """Return True for names such as LAWRENCE Anna, without a comma."""
    given = _folded_names(locale, 0)
    return sum(_ends_with_given_name(t, given) for t in texts) >= MIN_FAMILY_FIRST * len(texts)


def name_locale(texts: Sequence[str]) -> str:
    """Return the locale whose names are the most common in the texts."""
    scripts = Counter(map(script_of, texts)).most_common(1)
    locales = _LOCALES_OF_SCRIPTS.get(scripts[0][0], LOCALES) if scripts else LOCALES
    best, best_share = locales[0], 0.0
    for locale in locales:
        share = name_share(texts, locale)
        if share > best_share:
            best, best_share = locale, share
        if share >= SURE_SHARE:
            break
    return best


def are_given_names(texts: Sequence[str], locale: str) -> bool:
    """Return True if most texts are given names only."""
    given, family = ({_folded(name) for name in pool} for pool in known_names(locale))
    words = [_folded(word) for text in texts for word in _LETTERS.findall(text)[:1]]
    single = sum(sum(len(word) > 1 for word in _LETTERS.findall(text)) == 1 for text in texts)
    return 2 * single > len(texts) and sum((w in given) - (w in family) for w in words) > 0


def name_tokens(text: str, *, given: bool = False, family_first: bool = False) -> Tokens:
    """Split a person's name: words before a comma and last words are family names.

    With `given`, all words are given names, and with `family_first`, all but the first one.
    """
    parts = _WORDS.findall(text)
    words = [i for i, part in enumerate(parts) if _LETTERS.match(part)]
    joints = [i for i, part in enumerate(parts) if _JOINT.fullmatch(part)]
    words = [i for i in words if i not in joints]
    comma = parts.index(",") if "," in parts and len(joints) == 0 else -1
    family = set() if given else {*words[-1:]} if comma < 0 else {i for i in words if i < comma}
    if family_first:
        family = set([i for i in words if not is_title(parts[i])][:1])
    elif joints and not given:
        family |= {max((i for i in words if i < joint), default=-1) for joint in joints}
    tokens = []
    for i, part in enumerate(parts):
        if i not in words:
            tokens.append(Token(part, "9" if part.isdigit() else ""))
        elif len(part) == 1 and part.isascii():
            tokens.append(Token(part, "A" if part.isupper() else "a"))
        elif len(without_marks(part)) == 1:
            tokens.append(Token(part, f"initial-{case_of(part)}"))
        elif is_title(part):
            tokens.append(Token(part, "title"))
        else:
            tokens.append(Token(part, f"{'last' if i in family else 'first'}-{case_of(part)}"))
    return tuple(tokens)


def is_title(word: str) -> bool:
    """Return True for titles, particles and suffixes of names of people."""
    return _TITLE.fullmatch(word) is not None


def name_pools(locale: str) -> dict[str, Pool]:
    pools = {
        f"{kind}-{case}": in_case(pool, case)
        for kind, pool in zip(NAME_KINDS, names(locale), strict=True)
        for case in ("upper", "lower", "title")
    }
    initials = tuple(dict.fromkeys(name[0] for name in names(locale)[0]))
    cases = {f"initial-{case}": in_case(initials, case) for case in ("upper", "lower", "title")}
    return {**pools, **cases, "title": ("Dr", "Mr", "Mrs", "Ms")}


def word_tokens(text: str) -> Tokens:
    """Split words; the class of a word is its letter case and its length, in three groups."""
    return tuple(
        Token(part, f"{case_of(part)}-{_length_group(part)}")
        if len(part) > 1 and _LETTERS.match(part)
        else Token(part, "9" if part.isdigit() else _letter_kind(part))
        for part in _WORDS.findall(text)
    )


def word_pools() -> dict[str, Pool]:
    words = _drawn("en_US", "word")
    pools: dict[str, Pool] = {}
    for group in range(3):
        members = tuple(word for word in words if _length_group(word) == group and len(word) > 1)
        for case in ("upper", "lower", "title"):
            pools[f"{case}-{group}"] = in_case(members, case)
    return pools


def cities() -> Pool:
    """Return invented names of cities."""
    return _drawn("en_US", "city")[: 2 * POOL_SIZE]


def place_names() -> Pool:
    """Return invented names of places in one word, in lower case."""
    return tuple(city.lower() for city in _drawn("en_US", "city") if _LETTERS.fullmatch(city))[
        :POOL_SIZE
    ]


def url_tokens(text: str) -> Tokens:
    """Split a web address into words and codes."""
    return tuple(
        Token(part, f"{case_of(part)}-{_length_group(part)}" if len(part) > 1 else "")
        if part.isalpha() and (part.islower() or part.istitle())
        else Token(part, _code_kind(part) if part.isascii() and part.isalnum() else "")
        for part in re.findall(r"[A-Za-z0-9]+|.", text, re.DOTALL)
    )


def _code_kind(part: str) -> str:
    if part.isdigit():
        return "9"
    if part.isalpha() and part.isupper():
        return "A"
    return "X" if part.isupper() else "x" if part.islower() else "*"


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
    german = _drawn("de_DE", "street_name")
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


def email_tokens(text: str) -> Tokens:
    """Split an e-mail address; its domain is one token."""
    local, _, domain = text.rpartition("@")
    tokens: list[Token] = []
    for part in re.findall(r"[A-Za-z]{2,}|[0-9]+|.", local):
        if len(part) > 1 and not part.isdigit():
            kind = "last" if any(token.kind.startswith("first") for token in tokens) else "first"
            tokens.append(Token(part, f"{kind}-{case_of(part)}"))
        else:
            tokens.append(Token(part, "9" if part.isdigit() else _letter_kind(part)))
    return (*tokens, Token("@", ""), Token(domain, "domain"))


def email_pools() -> dict[str, Pool]:
    pools = {
        f"{kind}-{case}": in_case(in_ascii(pool), case)
        for kind, pool in zip(NAME_KINDS, names("en_US"), strict=True)
        for case in ("upper", "lower", "title")
    }
    return {**pools, "domain": EXAMPLE_DOMAINS}


def case_of(word: str) -> str:
    if word.isupper():
        return "upper"
    return "title" if word[:1].isupper() else "lower"


def in_case(pool: Iterable[str], case: str) -> Pool:
    if case == "title":
        return tuple(dict.fromkeys(word[:1].upper() + word[1:] for word in pool))
    return tuple(dict.fromkeys(word.upper() if case == "upper" else word.lower() for word in pool))


def in_ascii(pool: Pool) -> Pool:
    decomposed = (unicodedata.normalize("NFKD", word) for word in pool)
    plain = (word.encode("ascii", "ignore").decode() for word in decomposed)
    return tuple(dict.fromkeys(word for word in plain if len(word) > 1))


def _length_group(word: str) -> int:
    return 0 if len(word) <= 4 else 1 if len(word) <= 7 else 2


def _letter_kind(part: str) -> str:
    if part.isascii() and part.isalpha():
        return "A" if part.isupper() else "a"
    return ""
