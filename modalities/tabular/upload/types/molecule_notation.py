"""Recognition of molecules, written as SMILES, InChI or formulas, which are not regenerated."""

import re
from collections.abc import Sequence

MIN_FITTING = 0.95  # share of the texts
MIN_STRUCTURED = 0.5  # share of the texts with a bond, a ring or a bracket
_ELEMENTS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu "
    "Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce "
    "Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi U "
)
_ELEMENT = "|".join(sorted(_ELEMENTS.split(), key=len, reverse=True))
# Atoms of the organic subset, atoms in brackets, bonds, branches and rings (Weininger, 1988).
_SMILES = re.compile(
    r"(?=.*[A-Za-z])(?:\[[^\]\s]{1,24}\]|Br|Cl|[BCNOPSFI]|[bcnops]|[-=#$:/\\.()*]|%\d\d|\d)+"
)
_STRUCTURE = re.compile(r"[=#()\[\]]|[cnos]\d")
_INCHI = re.compile(r"InChI=1S?/\S+|[A-Z]{14}-[A-Z]{10}-[A-Z]")
_FORMULA = re.compile(rf"(?:(?:{_ELEMENT})\d*|[()\[\].+-]\d*)+")
_FORMULA_NAME = re.compile(r"(?i)formula|compound|molec")


def are_molecules(name: str, texts: Sequence[str]) -> bool:
    """Return True if nearly all texts are molecules; formulas need a column that says so."""
    if not texts:
        return False
    if _share(_INCHI, texts) >= MIN_FITTING:
        return True
    structured = sum(_STRUCTURE.search(text) is not None for text in texts)
    if _share(_SMILES, texts) >= MIN_FITTING and structured >= MIN_STRUCTURED * len(texts):
        return True
    return bool(_FORMULA_NAME.search(name)) and _share(_FORMULA, texts) >= MIN_FITTING


def _share(pattern: re.Pattern[str], texts: Sequence[str]) -> float:
    return sum(pattern.fullmatch(text.strip()) is not None for text in texts) / len(texts)
