"""Recognition of identifiers and of values that identify people in text columns."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

from modalities.tabular.schema import PERSONAL_KINDS
from models.tabular.identifiers.patterns import FIRM, IPV4, PATTERNS, PHONE
from models.tabular.identifiers.people.east_asian_names import best_locale
from models.tabular.identifiers.people.person_names import (
    are_family_with_initials,
    given_name_share,
    is_title,
    name_locale,
    name_share,
)
from models.tabular.identifiers.words.word_letters import without_marks

MIN_ID_ROWS = 20  # fewer values may all be different by coincidence
MIN_FITTING = 0.9  # share of the texts that must have the form of a kind
MIN_FITTING_MOST = 0.5  # the same of kinds that no other text looks like
MIN_PERSONAL_DISTINCT = 0.1  # share of different values; above it, rows have their own values
MIN_DISTINCT, MANY_ROWS = 0.6, 100  # share of different values of nearly unique text
MIN_DISTINCT_OF_FEW = 0.9  # the same in tables of fewer than MANY_ROWS rows
MAX_EXAMINED = 500
MAX_WORD_SHARE, MAX_TITLES = 0.2, 10  # of names with the same word; titles are more common
# Texts with a known name, in columns that are named so and in others.
MIN_NAME_SHARE_EXPLICIT, MIN_NAME_SHARE, MIN_NAME_SHARE_UNNAMED = 0.1, 0.3, 0.6
MIN_FITTING_PEOPLE = 0.75  # share of people, where others have their firm after their name
MIN_GIVEN_SHARE_OF_THINGS = 0.7  # of people in columns that are named as those of things
# Texts that begin with a given name, in a column `name` and in others, and enough of these alone.
MIN_SINGLE_WORDS, MIN_GIVEN_SHARE_ALONE = 0.8, 0.5
MIN_GIVEN_SHARE, MIN_GIVEN_SHARE_UNNAMED, SURE_GIVEN_SHARE = 0.2, 0.3, 0.4

_GROUPED_PHONE = r"(?:\+?1[ .-]?)?\d{3}[ .-]\d{3}[ .-]\d{4}"  # of North America
PHONE_NAME = re.compile(r"(?i)phone|mobile|\b(?:tel|fax|cell)\b|telef|handy")
_ADDRESS_NAME = re.compile(
    r"(?i)(?:^|[\W_]|ship|bill|home|mail(?:ing)?|street)address(?:[\W_]?(?:line)?[\W_]?[123])?$"
    r"|^(?:adresse|direcci[oó]n|indirizzo|endere[cç]o)\d?$|(?:ship|bill)(?:ping|ing)?[\W_]?street$"
)
MAX_ADDRESS_CHARS = 120  # on average; longer ones have names and more
MIN_NUMBERED = 0.5  # share of the texts in a column of addresses that have a number
# Given and family names in other languages: Spanish, German, French, Italian, Portuguese, Dutch,
# Scandinavian, Finnish, Polish, Czech, Romanian, Turkish and Russian.
_FOREIGN_PART = (
    r"(?:^|[\W_])(?:apellidos?|(?:vor|nach|ruf|familien)name|pr[eé]noms?|nom[\W_]de[\W_]famille|"
    r"cognome|sobrenome|apelido|(?:voor|achter)naam|(?:för|efter)namn|(?:for|etter|efter)navn|"
    r"etunimi|sukunimi|nazwisko|imi[eę]|příjmení|prenume|soyad\u0131?|фамилия|имя|отчество)"
    r"(?:$|[\W_\d])"
)
# Names of columns that hold names of people, and of columns that hold people or firms.
EXPLICIT_NAME = re.compile(
    r"(?i)(?:^|[\W_]|full|real)(?:full|first|last|sur|fore|given|family|middle|maiden|real|user|nick|"
    rf"legal)[\W_]?name|surname|{_FOREIGN_PART}|"
    r"^(?:(?:name|person)[\W_])?(?:first|last|given|middle|family)$"
)
_PERSON_NAME = re.compile(
    r"(?i)author(?!i)|person(?!al|nel)|people|commander|producer|leader(?!ship)|architect(?!u)|"
    r"designer|patient|employee|customer|contact(?!less)|owner(?!ship)|writer|composer|guest|coach|"
    r"winner|judge(?!m)|nominee|founder|player|student|teacher|passenger|actress|artist(?!ic)|"
    r"singer|director(?!y|ies)|(?-i:(?<![A-Za-z])[Aa]ctor|(?<=[a-z])Actor|ACTOR)|"
    r"driver|senator|candidate|attorney|lawyer|physician|doctor|nurse|instructor|inspector|sender|"
    r"recipient|donor|contributor|applicant|victim|suspect|defendant|plaintiff|witness"
    r"|(?:recorded|collected|identified|determined|created|written|reviewed|approved|prepared|assigned|"
    r"modified|updated|entered|submitted|observed|reported|signed|issued|sold|handled)[\W_]?by$"
    r"|[\W_](?:first|last)$"
)
MAX_NAME_WORDS = 6  # of a column; questions of a survey mention people, too
# Parts of the names of people, whatever their language. Other names may be those of things.
_PART_OF_NAME = re.compile(
    r"(?i)(?:^|[\W_])(?:first|last|sur|fore|given|family|middle|maiden)[\W_]?name|surname|"
    rf"{_FOREIGN_PART}"
)
# Words for name, contact, author, customer, patient, employee, student, teacher and member.
EAST_ASIAN_NAME = re.compile(
    r"姓名|人名|中文名(?![称稱])|氏名|名前|성명|이름|(?:联系|聯絡|负责|負責|申请|申請)人|作者|客户|客戶|患者|员工|員工|学生|學生"
    r"|老师|老師|教师|教師|会员|會員|担当者|代表者|대표자|담당자|환자|직원|학생"
)
MIN_EAST_ASIAN, SURE_EAST_ASIAN = 0.6, 0.95  # share of known family names
# Columns that only people have.
_TRAIT_NAME = re.compile(
    r"(?i)^(?:sex|gender|race|ethnicity|party|geschlecht|sexe|sexo|sesso|g[e\u00e9]nero|"
    r"marital.?status|birth.?date|date.?of.?birth|dob|occupation|profession)$"
)
_BARE_NAME = re.compile(r"(?i)(?:^|[\W_])(?:name|nom|nombre)$")  # of a person or of a thing
# Columns such as neighborhood_name, which do not hold the names of people.
_THING_NAME = re.compile(
    r"(?i)neighbo|district|place|area|region|city|town|county|street|station|airport|school|team|"
    r"hospital|club|product|item|file|brand|company|event|course|program|service|location|building|"
    r"species|song|album|employer|business|organi[sz]ation|institution|agency|firm|film|movie|book|title|domain|department"
)
MIN_FIRMS, MIN_PEOPLE_AMONG_FIRMS = 0.1, 0.15
_NAMES = {
    "city": re.compile(
        r"(?i)(?:^|[\W_])(?:city|town|municipality|ville|commune|ciudad|stadt|ort)$"
    ),
    "company": re.compile(
        r"(?i)(?:^|[\W_])(?:company|employer|firm|firma|vendor|supplier|fornitore)$"
    ),
}
_PERSON = re.compile(r"[^\W\d_]+(?:(?:[.,] ?|[ '\u2019-])[^\W\d_]+\.?){0,4}")
_REMARK = re.compile(r" ?\([^()\d]+\)")  # after the name of a person
_INITIALED = r"(?:[^\W\d_]\. ?){1,3}[^\W\d_][^\W\d_'\u2019. -]+(?:[ '\u2019.-]+[^\W\d_]+)*"
_LETTERS = re.compile(r"[^\W\d_]+")
_SLUG = r"[a-z]+(?:[-_.][a-z]+){1,3}(?:[-_.]?\d+)?"  # such as jean-kemp
_NICKNAME = re.compile(r"""\s*(?:"[^"\d]+"|\u201c[^\u201d\d]+\u201d)\s*""")
_JOINT = re.compile(r",? (?:and|und|et|y|with|&) |[;,/|] ?")  # between names of several people
_STREET = re.compile(
    r"(?i)^(?:\d+[a-z]?,? .*\b(?:st|street|ave|avenue|rd|road|dr|drive|ln|lane|blvd|boulevard|way|"
    r"ct|court|pl|place|sq|square|terrace|hwy|highway|rue|chemin|impasse|place)\b.*"
    r"|\S.*(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|straat|laan|plein|gatan|vägen|gade|vej|gate|"
    r"veien|katu|utca) ?.*\d+ ?[a-z]?"
    r"|(?:calle|avenida|via|viale|piazza|corso|largo|rua|pra[cç]a|travessa|ulica|ul\.|al\.|os\.|ул\.|"
    r"улица|пр\.|проспект) ?.*\d+.*)$"
)


def kind_of_texts(name: str, texts: Sequence[str], others: Collection[str] = ()) -> str | None:
    """Return the kind of identifier that nearly all of the different texts of a column are.

    `others` are the names of the other columns.
    """
    texts = [without_marks(text) for text in texts[:: max(1, len(texts) // MAX_EXAMINED)]]
    if not texts:
        return None
    for kind, pattern in PATTERNS.items():
        if _share(pattern, texts) >= MIN_FITTING:
            return kind
    is_international = _share(r"\+\d|\(\d{3}\) ?\d", [text[:8] for text in texts], whole=False)
    if _share(PHONE, texts) >= MIN_FITTING and (
        PHONE_NAME.search(name)
        or is_international >= MIN_FITTING
        or _share(_GROUPED_PHONE, texts) >= MIN_FITTING
    ):
        return "phone"
    if _share(_STREET.pattern, texts) >= MIN_FITTING or _are_addresses(name, texts):
        return "street"
    are_slugs = _share(_SLUG, texts) >= MIN_FITTING
    spaced = [" ".join(_LETTERS.findall(text)).title() for text in texts if are_slugs]
    if _are_names(name, spaced or texts, are_people=any(map(_TRAIT_NAME.search, others))):
        return "person"
    is_text = _share(r"[^\d]*[^\W\d_]{2}[^\d]*", texts) >= MIN_FITTING
    named = (kind for kind, pattern in _NAMES.items() if is_text and pattern.search(name))
    return next(named, None) or _kind_of_most(name, texts)


def _kind_of_most(name: str, texts: Sequence[str]) -> str | None:
    """Return the kind of most texts, among others such as names of hosts or of people.

    Times look like IP addresses of version 6, and some codes like accounts.
    """
    patterns = {"url": PATTERNS["url"], "uuid": PATTERNS["uuid"], "email": PATTERNS["email"]}
    patterns |= {"ip": IPV4} | ({"phone": PHONE} if PHONE_NAME.search(name) else {})
    mostly = (k for k, pattern in patterns.items() if _share(pattern, texts) >= MIN_FITTING_MOST)
    return next(mostly, None)


def _are_addresses(name: str, texts: Sequence[str]) -> bool:
    """Return True for texts of several words, most with numbers, in a column of addresses."""
    several = r"(?=.*[^\W\d_]{2}).*\w\W+\w.*"
    if not _ADDRESS_NAME.search(name) or _share(several, texts) < MIN_FITTING:
        return False
    if sum(map(len, texts)) > MAX_ADDRESS_CHARS * len(texts):
        return False
    return _share(r".*\d.*", texts) >= MIN_NUMBERED


def _are_names(name: str, texts: Sequence[str], *, are_people: bool) -> bool:
    """Return True for names of people; `are_people`: other columns say that the rows are people."""
    _, east_asian = best_locale(texts)
    if east_asian >= (MIN_EAST_ASIAN if EAST_ASIAN_NAME.search(name) else SURE_EAST_ASIAN):
        return True
    bare = [" ".join(_NICKNAME.sub(" ", text).lstrip("-\u2013*\u2022@ ").split()) for text in texts]
    if are_family_with_initials(bare):
        # Few things have this form, and those share a word that is no name, as in Vitamin, C.
        is_known = name_share(texts, name_locale(texts)) >= MIN_NAME_SHARE_EXPLICIT
        return is_known or not _share_a_word(bare)
    fitting = sum(map(_is_people, bare)) / len(bare)
    if fitting < MIN_FITTING_PEOPLE or _share_a_word(bare):
        return False
    is_thing = _THING_NAME.search(name) is not None
    is_explicit = EXPLICIT_NAME.search(name) is not None and not is_thing
    is_explicit |= are_people and _BARE_NAME.search(name) is not None and not is_thing
    is_person = is_explicit or (says_people(name) and not is_thing)
    is_bare = _BARE_NAME.search(name) is not None and not is_person and not is_thing
    is_single = _share(r".*[^\W\d_] .*|.*, .*", texts) < MIN_FITTING
    if is_single and not (is_person or is_bare):
        return False  # single words are names of persons only if the column says so
    if is_bare and _share(_INITIALED, bare) >= MIN_FITTING:
        is_person = True  # such as M. Douglass
    locale = name_locale(texts)
    share, given = name_share(texts, locale), given_name_share(texts, locale)
    is_sure = given >= SURE_GIVEN_SHARE
    if fitting < MIN_FITTING and not (is_person and (is_sure or are_people)):
        return False
    if is_thing:
        return given >= MIN_GIVEN_SHARE_OF_THINGS
    if is_person:
        is_part = is_explicit and _PART_OF_NAME.search(name) and fitting >= MIN_FITTING
        minimum = 0 if is_part else MIN_NAME_SHARE_EXPLICIT if is_explicit else MIN_NAME_SHARE
        return share >= minimum
    if is_bare:
        return share >= MIN_NAME_SHARE and given >= MIN_GIVEN_SHARE
    is_likely = share >= MIN_NAME_SHARE_UNNAMED and given >= MIN_GIVEN_SHARE_UNNAMED
    return is_likely or is_sure


def says_people(name: str) -> bool:
    """Return True for the name of a column of people, such as `teacher`, but not for a question."""
    return _PERSON_NAME.search(name) is not None and len(name.split()) <= MAX_NAME_WORDS


def are_urls(texts: Sequence[str]) -> bool:
    """Return True for web addresses, and for paths of such addresses or of files."""
    texts = texts[:: max(1, len(texts) // MAX_EXAMINED)]
    return _share(PATTERNS["url"], texts) >= MIN_FITTING


def are_given_names(texts: Sequence[str]) -> bool:
    """Return True for single words most of which are given names, whatever the column is.

    Columns of names of towns or plants have fewer of them.
    """
    texts = texts[:: max(1, len(texts) // MAX_EXAMINED)]
    if _share(r"[^\W\d_]+", texts) < MIN_SINGLE_WORDS:
        return False
    return given_name_share(texts, name_locale(texts)) >= MIN_GIVEN_SHARE_ALONE


def have_some_people(name: str, texts: Sequence[str]) -> bool:
    """Return True for people among firms or addresses in a column such as `owner`."""
    others = rf"{FIRM.pattern}|\d"
    if not says_people(name) or _share(others, texts, whole=False) < MIN_FIRMS:
        return False
    return given_name_share(texts, name_locale(texts)) >= MIN_PEOPLE_AMONG_FIRMS


def _is_people(text: str) -> bool:
    """Return True for the names of one or several people.

    They are split first: one pattern for all of them takes exponential time for lists of words.
    """
    return all(_PERSON.fullmatch(part.strip()) for part in _JOINT.split(_REMARK.sub("", text)))


def _share_a_word(texts: Sequence[str]) -> bool:
    """Return True if many texts have a word in common, as in Kent County and Surry County."""
    words = Counter(word for text in texts for word in set(re.findall(r"[^\W\d_]{3,}", text)))
    common = (n for word, n in words.most_common(MAX_TITLES) if not is_title(word))
    return len(texts) >= MIN_ID_ROWS and next(common, 0) > MAX_WORD_SHARE * len(texts)


def is_nearly_unique(distinct: int, valid: int) -> bool:
    """Return True if most rows have a value of their own."""
    if valid < MIN_ID_ROWS:
        return False
    minimum = MIN_DISTINCT if valid >= MANY_ROWS else MIN_DISTINCT_OF_FEW
    return distinct >= minimum * valid


def is_personal(kind: str | None, distinct: int, valid: int) -> bool:
    """Return True if the values of a personal kind belong to rows rather than to groups of rows."""
    return (
        kind in PERSONAL_KINDS
        and distinct >= MIN_ID_ROWS
        and distinct >= MIN_PERSONAL_DISTINCT * valid
    )


def _share(pattern: str, texts: Sequence[str], *, whole: bool = True) -> float:
    matches = re.compile(pattern, re.DOTALL).fullmatch if whole else re.compile(pattern).match
    return sum(matches(text.strip()) is not None for text in texts) / len(texts)
