"""Search for identifiers of which a part is a rest that no other column determines."""

from collections.abc import Mapping, Sequence

from models.tabular.identifiers.people.email_ends import EmailEnds
from models.tabular.relations.texts.codes import CodeFinder, Part, class_of, runs_of
from models.tabular.relations.texts.ways import INITIALS, REST

Piece = str | Part  # or a literal character
Variants = Mapping[Part, Sequence[str]]  # the texts of the examined rows


def find_pieces_and_rests(
    name: str, texts: Sequence[str], variants: Variants, codes: CodeFinder | None
) -> list[Piece]:
    """Return the pieces of identifiers at both ends of rests and between these.

    What is next to the rest of an e-mail address is only looked for before it.
    """
    begin, rest = _beginning(texts, variants, codes)
    if begin and EmailEnds.fit(rest) is not None:
        return [*begin, (name, REST)]
    backwards = {part: [text[::-1] for text in each] for part, each in variants.items()}
    end, rest = _beginning([text[::-1] for text in rest], backwards, codes, is_backwards=True)
    inner = _inner_pieces(name, [text[::-1] for text in rest], variants, codes)
    return [*begin, *inner, *reversed(end)]


def _beginning(
    texts: Sequence[str],
    variants: Variants,
    codes: CodeFinder | None,
    *,
    is_backwards: bool = False,
) -> tuple[list[Piece], list[str]]:
    """Return the pieces with which all texts begin, and the rest of each text.

    Letters and digits next to the rest belong to it: all of 1001 to 1999 begin with 1.
    """
    pieces: list[Piece] = []
    rest = list(texts)
    ends = [(pieces[:], rest)]
    while all(rest):
        piece, length = _next_piece(rest, variants, codes, is_backwards=is_backwards)
        if piece is None:
            break
        consumed = [text[n - 1] for text, n in zip(rest, length, strict=True)]
        rest = [text[n:] for text, n in zip(rest, length, strict=True)]
        pieces.append(piece)
        if all(rest) and _may_end(piece, consumed, rest):
            ends.append((pieces[:], rest))
    return ends[-1]


def _may_end(piece: Piece, last: Sequence[str], rest: Sequence[str]) -> bool:
    """Return True if a rest may follow a piece, of which each text has the `last` character.

    It may not follow a literal in the middle of a word or number, or a part of a word.
    """
    if isinstance(piece, str):
        return not piece.isalnum()
    ends = list(zip(last, rest, strict=True))
    if piece[1] in INITIALS and any(a.isdigit() and b[0].isdigit() for a, b in ends):
        return False
    return not any(a.isalpha() and b[0].isalpha() for a, b in ends)


def _next_piece(
    texts: Sequence[str], variants: Variants, codes: CodeFinder | None, *, is_backwards: bool
) -> tuple[Piece | None, list[int]]:
    """Return the piece with which all texts begin, or None, and its length in each text."""
    part = _next_part(texts, variants, codes, is_backwards=is_backwards)
    if part is not None:
        return part
    if len({text[0] for text in texts}) == 1:
        return texts[0][0], [1] * len(texts)
    return None, []


def _next_part(
    texts: Sequence[str],
    variants: Variants,
    codes: CodeFinder | None,
    *,
    is_backwards: bool = False,
) -> tuple[Part, list[int]] | None:
    """Return the part with which all texts begin, or None, and its length in each text.

    A code of a whole word comes before its initial.
    """
    fitting = (part for part, each in variants.items() if all(map(str.startswith, texts, each)))
    part = next(fitting, None)
    runs = [runs_of(text)[0] for text in texts]
    lengths = list(map(len, runs))
    if part is not None and all(
        len(variant) >= n for variant, n in zip(variants[part], lengths, strict=True)
    ):
        return part, list(map(len, variants[part]))
    coded = codes and codes.find([run[::-1] for run in runs] if is_backwards else runs)
    if coded:
        return coded, lengths
    return None if part is None else (part, list(map(len, variants[part])))


def _inner_pieces(
    name: str, texts: Sequence[str], variants: Variants, codes: CodeFinder | None
) -> list[Piece]:
    """Return the pieces of texts that begin and end with a rest.

    A part between two rests begins where all texts have as many runs of the same classes before
    it, such as the letters and the mark of `CA-2017-152156`.
    """
    runs = [runs_of(text) for text in texts]
    for count in range(1, min(map(len, runs))):
        if len({class_of(each[count - 1]) for each in runs}) > 1:
            break
        tails = ["".join(each[count:]) for each in runs]
        next_part = _next_part(tails, variants, codes)
        if next_part is None:
            continue
        part, lengths = next_part
        tails = [tail[n:] for tail, n in zip(tails, lengths, strict=True)]
        if not all(tails):
            continue
        heads = [each[:count] for each in runs]
        marks: list[Piece] = []
        while len(heads[0]) > 1 and not heads[0][-1].isalnum():
            marks.insert(0, heads[0][-1])
            heads = [head[:-1] for head in heads]
        after, tails = _beginning(tails, variants, codes)
        return [(name, REST), *marks, part, *after, *_inner_pieces(name, tails, variants, codes)]
    return [(name, REST)]
