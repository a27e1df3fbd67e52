"""Names of people: their language, their parts, and pools of other names."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache

from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.tokens import NAME_KINDS, Token, Tokens
from models.tabular.identifiers.words.coined_words import coin_words
from models.tabular.identifiers.words.library_words import POOL_SIZE, known_names, names
from models.tabular.identifiers.words.word_letters import (
    WORD_PATTERN,
    WORDS_AND_MARKS,
    script_of,
    without_marks,
)
from models.tabular.identifiers.words.words import case_of, in_case

# Share of the texts with names of one locale, and of those that begin with a given name of it:
# most Spanish family names are also known in English, but few of the given names.
SURE_SHARE, SURE_GIVEN_SHARE = 0.8, 0.4
MIN_FAMILY_FIRST = 0.35  # share of the texts that end with a given name
MIN_FAMILY_FIRST_RATIO = 3  # to those that begin with one, where no name is in capitals
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
# Suffixes, which are no words of a name: pools have none of them.
_SUFFIX = re.compile(r"(?i)jr|sr|ii|iii|iv|phd|md|esq")
MIN_COINED_SUPPORT = 2  # family names in which a letter follows others, as in coined ones
MIN_WITH_INITIALS = 0.8  # share of the texts that are family names with initials
MIN_INITIALS = 6  # different ones; sizes such as S, M, L and grades have fewer
_FAMILY_WITH_INITIALS = re.compile(
    r"[^\W\d_](?:['\u2019. -]{0,2}[^\W\d_])+\.?(?:, ?(?:jr|sr)\.?)?, ?"
    r"(?P<initial>[^\W\d_])(?:(?:\.[ -]?|[ -])[^\W\d_]){0,2}\.?(?:,? (?:jr|sr)\.?)?",
    re.IGNORECASE,
)
_JOINT = re.compile(r"(?i)and|und|et|y|with|&|;|/|\|")  # between the names of several people


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
    hits = sum(any(_folded(w) in name_words for w in WORD_PATTERN.findall(text)) for text in texts)
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
        words = [[w for w in WORD_PATTERN.findall(part) if not is_title(w)] for part in parts]
        hits += any(part and _folded(part[0]) in given for part in words)
    return hits / max(1, len(texts))


def _ends_with_given_name(text: str, given: Collection[str]) -> bool:
    words = WORD_PATTERN.findall(text)
    has_capitals = len(words) > 1 and words[0].isupper() and len(words[0]) > 1
    is_first = has_capitals and _folded(words[0]) not in given
    return "," not in text and is_first and _folded(words[-1]) in given


def are_family_first(texts: Sequence[str], locale: str) -> bool:
    """Return True for names such as LAWRENCE Anna and Lawrence Anna, without a comma."""
    given = _folded_names(locale, 0)
    if sum(_ends_with_given_name(t, given) for t in texts) >= MIN_FAMILY_FIRST * len(texts):
        return True
    words = [WORD_PATTERN.findall(text) for text in texts if "," not in text]
    ends = [(each[0], [w for w in each if len(w) > 1][-1:]) for each in words if len(each) > 1]
    are_given = [(_folded(a) in given, _folded(b[0]) in given) for a, b in ends if b]
    first, last = (are_given.count(pair) for pair in ((False, True), (True, False)))
    return first >= max(MIN_FAMILY_FIRST * len(texts), MIN_FAMILY_FIRST_RATIO * last)


def are_family_with_initials(texts: Sequence[str]) -> bool:
    """Return True for names such as `Perez, E` or `De La Cruz, J. M.`, whatever the column is."""
    matches = [_FAMILY_WITH_INITIALS.fullmatch(without_marks(text).strip()) for text in texts]
    initials = [match["initial"].casefold() for match in matches if match]
    fitting = len(initials) >= MIN_WITH_INITIALS * len(texts)
    return fitting and len(set(initials)) >= MIN_INITIALS


def name_locale(texts: Sequence[str]) -> str:
    """Return the locale whose names are the most common in the texts."""
    scripts = Counter(map(script_of, texts)).most_common(1)
    locales = _LOCALES_OF_SCRIPTS.get(scripts[0][0], LOCALES) if scripts else LOCALES
    best, most = locales[0], (0.0, 0.0)
    for locale in locales:
        share, given = name_share(texts, locale), 0.0
        if share >= SURE_SHARE:
            given = given_name_share(texts, locale)
            if given >= SURE_GIVEN_SHARE:
                return locale
        if (min(share, SURE_SHARE), given) > most:
            best, most = locale, (min(share, SURE_SHARE), given)
    return best


def are_given_names(texts: Sequence[str], locale: str) -> bool:
    """Return True if most texts are given names only."""
    given, family = ({_folded(name) for name in pool} for pool in known_names(locale))
    words = [_folded(word) for text in texts for word in WORD_PATTERN.findall(text)[:1]]
    single = sum(sum(len(word) > 1 for word in WORD_PATTERN.findall(text)) == 1 for text in texts)
    return 2 * single > len(texts) and sum((w in given) - (w in family) for w in words) > 0


def name_tokens(text: str, *, given: bool = False, family_first: bool = False) -> Tokens:
    """Split a person's name: words before a comma and last words are family names.

    With `given`, all words are given names, and with `family_first`, all but the first one.
    """
    parts = WORDS_AND_MARKS.findall(text)
    words = [i for i, part in enumerate(parts) if WORD_PATTERN.match(part)]
    joints = [i for i, part in enumerate(parts) if _JOINT.fullmatch(part)]
    words = [i for i in words if i not in joints]
    while len(words) > 1 and _SUFFIX.fullmatch(parts[words[-1]]):
        words.pop()
    comma = parts.index(",") if "," in parts and len(joints) == 0 else -1
    comma = comma if words and comma < words[-1] else -1  # not before a suffix
    family = set() if given else {*words[-1:]} if comma < 0 else {i for i in words if i < comma}
    if family_first:
        family = set([i for i in words if not is_title(parts[i])][:1])
    elif joints and not given:
        family |= {max((i for i in words if i < joint), default=-1) for joint in joints}
    tokens = []
    for i, part in enumerate(parts):
        if i not in words or _SUFFIX.fullmatch(part):
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


def unseen_family_pools(texts: Sequence[str], locale: str) -> dict[str, Pool]:
    """Return pools of family names that no text has; those that the library lacks are coined.

    Next to an initial, many of the family names of a large table would repeat one of its people.
    """
    seen = {word.casefold() for text in texts for word in WORD_PATTERN.findall(text)}
    library = known_names(locale)[1]
    unseen = [name for name in library if name.casefold() not in seen][:POOL_SIZE]
    if 2 * len(unseen) < POOL_SIZE:
        coined = coin_words(library, (), POOL_SIZE, MIN_COINED_SUPPORT)
        composed = (word.replace("i\u0307", "i") for word in coined)  # the Turkish capital I
        unseen += [word for word in composed if word.casefold() not in seen]
    pool = unseen or library
    return {f"{NAME_KINDS[1]}-{case}": in_case(pool, case) for case in ("upper", "lower", "title")}
