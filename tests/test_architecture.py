"""Only the package `modalities` knows which kinds of data there are, and the documentation is true.

The order in which packages may import each other is tested by import-linter (pyproject.toml).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from modalities import registry

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "worker", "job_kinds", "core", "models", "client/semblance")
# The demonstration program and the notebook objects show pictures for images and a table for rows;
# the generated files repeat the OpenAPI document. The client cannot import `modalities`.
CLIENT = "client/semblance"
EXEMPT = (
    *(f"{CLIENT}/demo.py", f"{CLIENT}/notebook/", f"{CLIENT}/types.py"),
    *(f"{CLIENT}/_async/operations.py", f"{CLIENT}/_sync/operations.py"),
)
FILES = sorted(
    file
    for name in PACKAGES
    for path in (ROOT / name).rglob("*.py")
    if not (file := path.relative_to(ROOT).as_posix()).startswith(EXEMPT)
)
NAMES = registry.installed().keys()
CLASS_OF_MODALITY = re.compile(r"(Image|Tab)\w*Sampler$|Modality$")


def is_name(node: ast.AST) -> bool:
    """Return True for the name of a modality, or a tuple, list or set with one."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(is_name(element) for element in node.elts)
    return isinstance(node, ast.Constant) and node.value in NAMES


def is_class(node: ast.AST) -> bool:
    """Return True for a class that a modality has, or an expression with one."""
    names = (
        part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "")
        for part in ast.walk(node)
    )
    return any(CLASS_OF_MODALITY.search(name) for name in names)


def depends_on_modality(node: ast.AST) -> bool:
    match node:
        case ast.Compare(left=left, comparators=others):
            return any(is_name(side) for side in (left, *others))
        case ast.MatchValue(value=value):
            return is_name(value)
        case ast.Dict(keys=[_, *_] as keys):
            return all(key is not None and is_name(key) for key in keys)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=names):
            return is_name(names)
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, classes]):
            return is_class(classes)
    return False


def find_dependencies(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if depends_on_modality(node):
            yield f"{node.lineno} {ast.unparse(node)[:80]}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("file", FILES)
def test_no_code_outside_modalities_distinguishes_kinds_of_data(file: str) -> None:
    assert not list(find_dependencies(ast.parse((ROOT / file).read_text())))


@pytest.mark.parametrize(
    "code",
    [
        "x == 'image'",
        "'tabular' != x",
        "x in ('image', 'audio')",
        "match x:\n case 'image': pass",
        "{'image': 1, 'tabular': 2}[x]",
        "y: Literal['image', 'tabular']",
        "isinstance(x, ImageSampler | models.TableSampler)",
        "isinstance(x, (TableModality, str))",
    ],
)
def test_each_way_to_distinguish_kinds_of_data_is_recognized(code: str) -> None:
    assert list(find_dependencies(ast.parse(code)))


def test_a_field_of_a_request_may_have_the_name_of_a_modality() -> None:
    assert not list(find_dependencies(ast.parse("{'count': 1, 'image': {'truncation': 1.0}}")))


DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`([\w<>{},./*-]*(?:/|\.py|\.md|\.toml))`", DOCUMENT)))
FUNCTIONS = sorted(set(re.findall(r"`([\w<>/]+\.py)`\s\(`(\w+)`", DOCUMENT)))


def expand(path: str) -> Iterator[str]:
    """Yield the patterns of file names that a path of the document stands for."""
    path = re.sub(r"<\w+>", "*", path)
    if match := re.search(r"{([^}]*)}", path):
        for part in match[1].split(","):
            yield from expand(path.replace(match[0], part))
    else:
        # A name without a folder, such as `tokenizer.py`, is that of a file mentioned before.
        yield path if "/" in path else f"**/{path}"


@pytest.mark.parametrize("path", PATHS)
def test_paths_in_the_description_of_the_architecture_exist(path: str) -> None:
    folders = (ROOT, ROOT / "docs")
    for pattern in expand(path):
        assert any(any(folder.glob(pattern)) for folder in folders), pattern


@pytest.mark.parametrize(("path", "name"), FUNCTIONS)
def test_functions_in_the_description_of_the_architecture_exist(path: str, name: str) -> None:
    files = [file for pattern in expand(path) for file in ROOT.glob(pattern)]
    definition = re.compile(rf"^\s*(?:async )?(?:def|class) {name}\b|^{name}\b.* =", re.MULTILINE)
    assert any(definition.search(file.read_text()) for file in files)
