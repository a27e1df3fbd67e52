"""Recognition of names of parts of a dataset: `train`, `seg_test`, `validation_set`, `X_val`."""

import re
import unicodedata
from collections.abc import Collection
from typing import Literal

Role = Literal["train", "test", "unlabeled"]

TRAIN_NAMES = frozenset(
    {"train", "training", "trn"}
    # Spanish, Portuguese, French, German, Italian, Russian, Chinese, Japanese, Korean
    | {"entrenamiento", "treino", "treinamento", "apprentissage", "entrainement", "trainings"}
    | {"addestramento", "обучение", "обучающая", "训练", "訓練", "学習", "훈련", "학습"}
)
TEST_NAMES = frozenset(
    {"test", "testing", "tst", "val", "valid", "validation", "eval", "evaluation", "dev", "holdout"}
    | {"validate", "validating", "tests", "evaluate"}
    | {"prueba", "pruebas", "validacion", "teste", "validacao", "validierung", "prova"}
    | {"validazione", "тест", "тестовая", "测试", "測試", "验证", "驗證", "テスト", "検証"}
    | {"테스트", "검증"}
)
UNLABELED_NAMES = frozenset(
    {"pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "unsup"}
)
# Words that do not distinguish one folder from another.
NEUTRAL_NAMES = frozenset(
    {"set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs", "picture"}
    | {"pictures", "photo", "photos", "pic", "pics", "split", "splits", "folder", "files", "file"}
    | {"daten", "imagenes", "imagens", "bilder", "集", "数据", "图片", "图像", "データ", "画像"}
    | {"sample", "samples", "jpg", "jpeg", "png", "raw", "all", "input", "inputs", "part", "full"}
)
_BATCH = re.compile(
    r"(?<![^\W_])(part|fold|batch|shard|chunk|images?|imgs?|data|subset|split|archive|folder|set)"
    r"[ _.-]*\d+$",
    re.IGNORECASE,
)
_SUBJECTS = frozenset(
    {"patient", "subject", "person", "participant", "volunteer", "user", "writer", "author", "case"}
    | {"session", "scene", "camera", "cam", "video", "clip", "run", "take", "day", "page", "sheet"}
)
_SIZES = frozenset(
    {16, 20, 22, 24, 28, 32, 36, 40, 48, 50, 56, 60, 64, 72, 75, 80, 96, 100, 120, 128, 144, 150}
    | {160, 180, 192, 200, 224, 240, 250, 256, 300, 320, 360, 400, 480, 500, 512, 600, 640, 720}
    | {800, 1000, 1024, 1080, 1200, 1280, 1920, 2048}
)
_SIZE = re.compile(r"(?P<size>\d+)( ?x ?(?P=size))?( ?px)?", re.IGNORECASE)
_ACCENTS = re.compile("[\u0300-\u0304\u0306-\u036f]")  # not the breve of the Cyrillic й
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_COMPOUND = re.compile(r"(set|daten|data|images?|imgs?|split|集|数据|データ)$")


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, without digits: "TrainingSet_2" has two."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", _CAMEL_CASE.sub(" ", name).lower()))
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", plain))
    return [part for word in words for part in _split_compound(word)]


def _split_compound(word: str) -> list[str]:
    stem = _COMPOUND.sub("", word)
    is_compound = stem != word and (role_of_word(stem) or stem in NEUTRAL_NAMES)
    return [stem, word[len(stem) :]] if is_compound else [word]


def role_of_word(word: str) -> Role | None:
    if word in TRAIN_NAMES:
        return "train"
    if word in TEST_NAMES:
        return "test"
    return "unlabeled" if word in UNLABELED_NAMES else None


def role_of_name(name: str) -> Role | None:
    """Return the role of a name that has exactly one word for a part, such as `train_labels`."""
    roles = [role for word in words_of(name) if (role := role_of_word(word))]
    return roles[0] if len(roles) == 1 else None


def roles_of_level(names: Collection[str]) -> dict[str, Role] | None:
    """Return the role of each folder name of a level, None if they are not parts of a dataset.

    Words other than those of the parts must be neutral or common to all names: `seg_train` and
    `seg_test` are parts, `bullet train` and `test tube` are not. A neutral name next to a test part
    is the training part.
    """
    roles: dict[str, Role] = {}
    rests = set()
    neutral = []
    for name in names:
        words = words_of(name)
        part_words = [word for word in words if role_of_word(word)]
        if words and NEUTRAL_NAMES.issuperset(words):
            neutral.append(name)
            continue
        role = role_of_word(part_words[0]) if len(set(part_words)) == 1 else None
        if role is None:
            return None
        roles[name] = role
        rests.add(frozenset(words) - set(part_words) - NEUTRAL_NAMES)
    has_common_rest = len(rests) == 1 and (len(names) > 1 or not next(iter(rests)))
    if "train" not in roles.values() and "test" in roles.values():
        # The traffic signs of `DATA` and `TEST`: the folder without a part is the training part.
        # Without such a folder, as in `validation` and `test`, all are for training.
        trained = neutral or (roles if len(roles) > 1 else ())
        roles |= dict.fromkeys(trained, "train")
        neutral = []
    if neutral or "train" not in roles.values() or not (has_common_rest or rests <= {frozenset()}):
        return None
    return roles


def split_label_and_part(name: str) -> tuple[str, Role] | None:
    """Return the label and the part of a name such as `cats_train`, None for other names."""
    matches = [
        (match, role)
        for match in re.finditer(r"[^\W\d_]+", name)
        if (role := role_of_word(match[0].lower()))
    ]
    if len(matches) != 1:
        return None
    match, role = matches[0]
    label = (name[: match.start()] + name[match.end() :]).strip(" _.-")
    return (label, role) if label else None


def is_neutral(name: str) -> bool:
    """Return True for a folder name that says nothing about its images, such as `images`."""
    words = words_of(name)
    return bool(words) and all(word in NEUTRAL_NAMES or role_of_word(word) for word in words)


def is_repository(name: str) -> bool:
    """Return True for the folder in an archive of a branch of a repository, such as `pets-main`."""
    return name.endswith(("-main", "-master"))


def are_batches(names: Collection[str]) -> bool:
    """Return True for names such as `part1` and `part2`, which only divide a large folder."""
    stems = {re.sub(r"\d+$", "", name) for name in names}
    return len(names) > 1 and len(stems) == 1 and all(_BATCH.search(name) for name in names)


def are_subjects(names: Collection[str]) -> bool:
    """Return True for names such as `patient01` and `patient02`, which are groups of images."""
    stems = {re.sub(r"[ _.-]*\d+$", "", name).lower() for name in names}
    return len(names) > 1 and len(stems) == 1 and stems <= _SUBJECTS


def size_of_name(name: str) -> int | None:
    """Return the number of pixels in a name such as `64`, `64x64` or `64px`."""
    match = _SIZE.fullmatch(name)
    size = int(match["size"]) if match and len(match["size"]) < 5 else 0
    return size if size in _SIZES else None
