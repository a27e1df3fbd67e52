"""Plausibility of a text in an encoding of a script other than Latin, by its commonest characters.

A wrong encoding of the same family gives rare syllables, or letters of another case, and one of
another family gives letters next to those of Latin words.
"""

import re
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

_KANA = "".join(map(chr, [*range(0x3041, 0x3097), *range(0x30A1, 0x30F7), 0x30FC]))
_HANGUL = (
    "가각간감강개거건게격결경계고공과관광교구국군권그금급기김나남내년노농는다단당대더데도독동되두드등라래량로"
    "록류른름리마만매면명모목무문물미민바박반발방배번법별보복부북분비사산상생서석선설성세소속송수순술숙스시식신실"
    "심아안양어업에여역연영예오온와외용우운울원월위유은을음의이인일임입자작장재저적전점정제조종주중지직진차"
    "처천청체초최추출충치컨케코크타터토통트특파판편평포품프하학한합해행향허현형호홍화황회효후흥희"
)
_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行"
    "所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力"
    "它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产"
    "或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口"
    "认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区"
    "保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北死张元"
    "该交规万取拉格望觉术领共确传师观清今切院让识候带导争运号码编姓址价额销售订单户型状态备注单省县州京津沪江河湖"
    "广深圳苏浙川陈李刘杨黄赵周吴徐孙胡朱林何郭罗春夏秋冬华伟芳娜敏静丽强磊洋艳勇军杰娟涛超秀霞刚桂英"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行"
    "所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心本前開但因只從想實日者意無力它與"
    "長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應向頭文體政美相見被利什二等產或新己"
    "制身果加西月話合回特代內信表化老給世位次度門任常先海通教原東聲提立及比員解水名真論處走義各入幾口認條平系氣"
    "題活更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直資命山金指許統區保至形社便空決治"
    "展科司五基眼書非則聽白界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊張該交規萬取格望覺領共確傳"
    "師觀清院讓識帶導運號碼編姓址價額銷售訂單戶型狀態備註省縣台臺灣灣雄桃園竹義蘭花蓮陳李劉楊黃趙周吳徐孫胡朱林郭"
)
_KANJI = (
    "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四定今回新場金"
    "員九入選立開手米力学問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法不来作性的要"
    "用制治度務強気小七成期公野協取都和統以機平総加山思家話世受区領多県続進正安設保改数記院女初北午指権心界支第"
    "産結百派点教報済書府活原先共得解名交資予川向際査勝面委告軍文反元重近千考判認画海参売利組知案道信策集在件団"
    "別物側任引使求所次水半品昨論計死官増係感特情投示変打男基私各始島直両朝革価式確村提運終挙果西勢減台広容必応"
    "演電歳住争談能無再位置企真流格有疑口過局少放税検藤町常校料沢裁状工建語球営空職証土与急止送援供可役構木割聞"
    "身費付施切由説転食比難防補車優夫研収断井何南石足違消境神番規術護展態導鮮備宅害配副算視条幹独警宮究育席輸訪"
    "楽起万着乗店述残想線率病農州武声質念待試族象銀域助労例衛然早張映限親額監環験追審商葉義伝働形景落欧担好退準"
    "賞訴辺造英被株頭技低毎医復仕去姿味負閣韓渡失移差衆個門写評課末守若脳極種美岡影命含福蔵量望松非撃佐核観察整"
    "段横融型白深字答夜製票況音申様財港識注呼渉達氏姓住所郵便号電話売上販社員店舗顧客都道府県郡番佐藤鈴木高橋渡辺"
)


class Script(NamedTuple):
    """Common characters of a script, and the share of them that is usual in names and addresses."""

    common: str
    usual: float
    has_case: bool = False
    is_alphabet: bool = True
    has_ascii_bytes: bool = False  # as the second ones of common characters


_CYRILLIC = Script("оеаинтсрвлкмдпу", 0.75, has_case=True)
SCRIPTS = {
    "cp949": Script(_HANGUL, 0.6, is_alphabet=False),
    "gb18030": Script(_SIMPLIFIED, 0.4, is_alphabet=False),
    "big5": Script(_TRADITIONAL, 0.4, is_alphabet=False, has_ascii_bytes=True),
    "cp932": Script(_KANA + _KANJI, 0.6, is_alphabet=False, has_ascii_bytes=True),
    "euc_jp": Script(_KANA + _KANJI, 0.6, is_alphabet=False),
    "cp1251": _CYRILLIC,
    "koi8_r": _CYRILLIC,
    "cp866": _CYRILLIC,
    "iso8859_5": _CYRILLIC,
    "cp1253": Script("αοιετσνηρπκςάέίόήύώ", 0.75, has_case=True),
    "cp1255": Script("יוהלאםנתרמשב", 0.7),
    "cp1256": Script("اليمونترةهبسدعح", 0.75),
    "cp874": Script("านรอกเงมยลวดทสตะปบคหแจพชข่้ีิัุู", 0.8),
}  # fmt: skip
MIN_PLAUSIBLE = 0.5  # of the usual share of common characters
MIN_LETTERS = 4  # different letters of an alphabet
_MAX_SAMPLE = 50_000
_WORD = re.compile(r"[^\x00-\x7f\ufffd]{2}")
_NEXT_TO_LATIN = re.compile(r"(?<=[A-Za-z])[^\x00-\x7f]|[^\x00-\x7f](?=[A-Za-z])")


def plausible_encoding(sample: bytes) -> str | None:
    """Return the encoding of another script in which the text is plausible, the likeliest one."""
    scores = {encoding: _plausibility(sample, encoding) for encoding in SCRIPTS}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] >= MIN_PLAUSIBLE else None


def _plausibility(sample: bytes, encoding: str) -> float:
    """Return the share of common less implausible characters, relative to the usual share."""
    script = SCRIPTS[encoding]
    text = sample[:_MAX_SAMPLE].decode(encoding, "replace")
    counts = Counter(character for character in text.lower() if not character.isascii())
    total = sum(counts.values())
    common = sum(counts[character] for character in set(script.common))
    implausible = 2 * counts["\ufffd"] + len(_NEXT_TO_LATIN.findall(text))
    if script.is_alphabet and len(counts) < MIN_LETTERS:
        return 0  # such as the à of French alone
    if script.has_ascii_bytes and not _WORD.search(text):
        return 0  # such as `45°|` and `10 µL`, in which a sign and an ASCII character are one
    if script.has_case:
        implausible += sum(a.islower() and b.isupper() for a, b in pairwise(text))
    return min(1.0, (common - implausible) / max(1, total) / script.usual)
