"""Public words from the library Faker: words of a language, and closed lists such as countries.

A word or a name of these lists identifies nobody, even if only one row has it.
"""

import importlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

MAX_LISTED = 1_000  # different texts; no public list is longer
MIN_NUMBERS, MIN_LISTED_NUMBERS = 20, 0.95  # of a column of the numbers of countries
MIN_LISTED = 0.6  # share of the texts of a column that must stand in a list; spellings differ

_WORD = re.compile(r"[^\W\d_]{2,}")
_LABELED = re.compile(r"[^\W\d_]{2,}[:/]")
# Modules below faker.providers, and the attributes of their providers that are lists of words.
_WORDS = {
    "lorem.en_US": ("word_list",),
    "lorem.de_DE": ("word_list",),
    "lorem.fr_FR": ("word_list",),
    "lorem.it_IT": ("word_list",),
    "lorem.nl_NL": ("word_list",),
    "lorem.pl_PL": ("word_list",),
    "lorem.ru_RU": ("word_list",),
    "company.en_US": ("catch_phrase_words", "bsWords"),
    "job": ("jobs",),
    "color": ("all_colors",),
    "address.en_US": ("street_suffixes", "city_suffixes"),
}
_LISTS = {
    "address.en_US": ("states", "states_abbr"),
    "address.en_CA": ("provinces", "provinces_abbr"),
    "address.en_AU": ("states", "states_abbr"),
    "address.en_IN": ("states",),
    "address.de_DE": ("states",),
    "address.de_AT": ("states",),
    "address.de_CH": ("cantons",),
    "address.es_ES": ("states", "regions"),
    "address.es_MX": ("states",),
    "address.fr_FR": ("regions", "departments"),
    "address.it_IT": ("states", "states_abbr"),
    "address.nl_NL": ("provinces",),
    "address.pl_PL": ("regions",),
    "address.pt_BR": ("estados",),
}
_COUNTRY_LOCALES = (
    "cs_CZ", "da_DK", "de_DE", "el_GR", "es_ES", "fi_FI", "fr_FR", "hu_HU", "it_IT", "ja_JP",
    "ko_KR", "nl_NL", "pt_BR", "ru_RU",
)  # fmt: skip
_COMMON_WORDS = (
    "a an and are as at be best big black blue book boy by cat city club day dead down east "
    "eye fire first for free from girl go god gold good great green gray grey hand happy "
    "heart high home house i in inn into is island it king kingdom la lake last late le life "
    "light little long lord los lost love man me men moon mother my new night no north not of "
    "old on one or our out over park part queen red river road rock rose saint school sea "
    "second secret she short shop silver sir small snow song south st star state store story "
    "street summer sun sweet ten the three time to tree two under union united up war water "
    "way we west white wild wind winter with woman wood world year yellow you young your "
)


@lru_cache(maxsize=1)
def public_words() -> frozenset[str]:
    """Return words of several languages, in lower case."""
    texts = {text for module, names in _WORDS.items() for text in _texts(module, names)}
    words = {word.casefold() for text in texts for word in _WORD.findall(text)}
    return frozenset(words | set(_COMMON_WORDS.split()))


@lru_cache(maxsize=1)
def english_words() -> frozenset[str]:
    """Return English words, in lower case."""
    modules = ("lorem.en_US", "company.en_US", "job")
    texts = {text for module in modules for text in _texts(module, _WORDS[module])}
    words = {word.casefold() for text in texts for word in _WORD.findall(text)}
    return frozenset(words | set(_COMMON_WORDS.split()))


def are_listed(texts: Sequence[str]) -> bool:
    """Return True if most texts are in one of the public lists, such as that of countries."""
    if len(texts) >= MIN_NUMBERS and all(text.isdecimal() and len(text) <= 3 for text in texts):
        listed = sum(text.zfill(3) in _country_numbers() for text in texts)
        return listed >= MIN_LISTED_NUMBERS * len(texts)
    if not texts:
        return False
    prefix = _common_prefix(texts)
    keys = {text.removeprefix(prefix) for text in texts}
    if all(map(_LABELED.match, keys)):  # such as country:AF and territory:AI
        keys = {_LABELED.sub("", key) for key in keys}
    keys = {key for key in map(_key, keys) if any(map(str.isalpha, key))}
    return len(keys) >= MIN_LISTED * len(set(texts)) and any(
        len(keys & entries) >= MIN_LISTED * len(keys) for entries in _public_lists()
    )


@lru_cache(maxsize=1)
def _public_lists() -> tuple[frozenset[str], ...]:
    from faker.providers import BaseProvider
    from faker.providers.address.en import Provider as Addresses
    from faker.providers.currency import Provider as Currencies
    from faker.providers.date_time import Provider as Dates
    from faker.providers.person import Provider as People

    countries = Dates.countries
    english = [*(country.name for country in countries), *Addresses.countries, *_OTHER_COUNTRIES]
    by_language = [_texts(f"address.{locale}", ("countries",)) for locale in _COUNTRY_LOCALES]
    lists: list[Iterable[str]] = [
        english,
        [*english, *(name for names in by_language for name in names)],  # in their own languages
        (country.alpha_2_code for country in countries),
        (country.alpha_3_code for country in countries),
        (country.capital for country in countries),
        (code for code, _ in Currencies.currencies),
        (name for _, name in Currencies.currencies),
        People.language_names,
        BaseProvider.language_locale_codes,
        *by_language,
        *(_texts(module, (name,)) for module, names in _LISTS.items() for name in names),
    ]
    return tuple(frozenset(filter(None, map(_key, entries))) for entries in lists)


def are_names_of_the_same(pairs: Collection[tuple[str, str]]) -> bool:
    """Return True if each pair has two names of one country, state or currency, such as a code.

    Texts that no list has belong together if most pairs do. No pair may be of two different ones:
    where a manager comes from does not follow from the country of an office.
    """
    named = _named_things()
    same = 0
    for a, b in pairs:
        first, second = named.get(_spelling(a)), named.get(_spelling(b))
        if first and second:
            if not first & second:
                return False
            same += a != b
    return same >= MIN_LISTED * max(1, len(pairs))


@lru_cache(maxsize=1)
def _named_things() -> dict[str, set[int]]:
    """Return the numbers of the countries, states and currencies that have a name."""
    from faker.providers.address import en_AU, en_CA, en_US
    from faker.providers.currency import Provider as Currencies
    from faker.providers.date_time import Provider as Dates

    countries = [(c.name, c.alpha_2_code, c.alpha_3_code, c.capital) for c in Dates.countries]
    states = [
        *zip(en_AU.Provider.states, en_AU.Provider.states_abbr, strict=False),
        *zip(en_CA.Provider.provinces, en_CA.Provider.provinces_abbr, strict=False),
        *zip(
            en_US.Provider.states,
            [code for code in en_US.Provider.states_abbr if code != "DC"],  # not a state
            strict=False,
        ),
    ]
    named: dict[str, set[int]] = {}
    for number, names in enumerate([*countries, *states, *Currencies.currencies]):
        for name in names:
            named.setdefault(_spelling(name), set()).add(number)
    return named


_OTHER_COUNTRIES = (
    "Russia", "South Korea", "North Korea", "Iran", "Syria", "Vietnam", "Laos", "Bolivia",
    "Venezuela", "Tanzania", "Moldova", "Macedonia", "North Macedonia", "Czechia", "Ivory Coast",
    "Cote d'Ivoire", "Congo", "Democratic Republic of Congo", "Brunei", "Cape Verde", "Swaziland",
    "Eswatini", "Burma", "Myanmar", "East Timor", "Timor-Leste", "Micronesia", "Palestine",
    "Kosovo", "Taiwan", "Hong Kong", "Macau", "UK", "USA", "UAE", "England", "Scotland", "Wales",
    "Northern Ireland", "World", "Africa", "Asia", "Europe", "North America", "South America",
    "Oceania", "European Union", "St. Lucia", "Gambia", "Bahamas", "Kyrgyzstan", "Slovakia",
)  # fmt: skip


# ISO 3166-1 numeric, and the numbers of former countries that statistics still use.
_COUNTRY_NUMBERS = (
    "004 008 010 012 016 020 024 028 031 032 036 040 044 048 050 051 052 056 060 064 068 070 072 "
    "074 076 084 086 090 092 096 100 104 108 112 116 120 124 132 136 140 144 148 152 156 158 162 "
    "166 170 174 175 178 180 184 188 191 192 196 203 204 208 212 214 218 222 226 231 232 233 234 "
    "238 239 242 246 248 250 254 258 260 262 266 268 270 275 276 288 292 296 300 304 308 312 316 "
    "320 324 328 332 334 336 340 344 348 352 356 360 364 368 372 376 380 384 388 392 398 400 404 "
    "408 410 414 417 418 422 426 428 430 434 438 440 442 446 450 454 458 462 466 470 474 478 480 "
    "484 492 496 498 499 500 504 508 512 516 520 524 528 531 533 534 535 540 548 554 558 562 566 "
    "570 574 578 580 581 583 584 585 586 591 598 600 604 608 612 616 620 624 626 630 634 638 642 "
    "643 646 652 654 659 660 662 663 666 670 674 678 682 686 688 690 694 702 703 704 705 706 710 "
    "716 724 728 729 732 740 744 748 752 756 760 762 764 768 772 776 780 784 788 792 795 796 798 "
    "800 804 807 818 826 831 832 833 834 840 850 854 858 860 862 876 882 887 891 894 200 278 280 "
    "530 532 736 810 890 "
)


@lru_cache(maxsize=1)
def _country_numbers() -> frozenset[str]:
    return frozenset(_COUNTRY_NUMBERS.split())


def _common_prefix(texts: Sequence[str]) -> str:
    """Return the words and marks with which all texts begin, such as `ISO 3166-2:`."""
    first, last = min(texts, default=""), max(texts, default="")
    common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    return re.sub(r"[^\W_]*$", "", first[:common])


def _spelling(text: str) -> str:
    """Return the words of a text without case, accents and marks."""
    return " ".join(re.findall(r"[^\W_]+", _without_accents(text)))


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _key(text: str) -> str:
    """Return a text without case, accents, brackets and what follows a comma or semicolon."""
    plain = _without_accents(text)
    bare = re.sub(r"\(.*?\)|[,;].*|\bthe\b|\bof\b|\brepublic\b|&", " ", plain).replace(
        "saint", "st"
    )
    return " ".join(re.findall(r"[^\W_]+", bare.replace(" and ", " ")))


def _texts(module: str, attributes: Iterable[str]) -> list[str]:
    provider = importlib.import_module(f"faker.providers.{module}").Provider
    texts: list[str] = []
    stack = [getattr(provider, attribute) for attribute in attributes]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            texts.append(value)
        else:
            stack.extend(value)
    return texts
