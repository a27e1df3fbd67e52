"""Names of months and weekdays, as dates contain them."""

# ruff: noqa: RUF001 - letters of other scripts

from typing import NamedTuple


class CalendarNames(NamedTuple):
    months: tuple[str, ...]
    short_months: tuple[str, ...]
    weekdays: tuple[str, ...]  # from Monday
    short_weekdays: tuple[str, ...]


def _names(months: str, short_months: str, weekdays: str, short_weekdays: str) -> CalendarNames:
    texts = (months, short_months, weekdays, short_weekdays)
    return CalendarNames(*(tuple(text.split()) for text in texts))


# By language code, which a format has in front: `[de]%-d. %B %Y`. English has none. A 2 stands
# for the names of months by themselves, in languages that change them after a day.
LANGUAGES = {
    "": _names(
        "January February March April May June July August September October November December",
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "Mon Tue Wed Thu Fri Sat Sun",
    ),
    "de": _names(
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
        "Mo Di Mi Do Fr Sa So",
    ),
    "fr": _names(
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "lun. mar. mer. jeu. ven. sam. dim.",
    ),
    "es": _names(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "ene feb mar abr may jun jul ago sep oct nov dic",
        "lunes martes miércoles jueves viernes sábado domingo",
        "lun mar mié jue vie sáb dom",
    ),
    "it": _names(
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
        "dicembre",
        "gen feb mar apr mag giu lug ago set ott nov dic",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
        "lun mar mer gio ven sab dom",
    ),
    "pt": _names(
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "jan fev mar abr mai jun jul ago set out nov dez",
        "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
        "seg ter qua qui sex sáb dom",
    ),
    "nl": _names(
        "januari februari maart april mei juni juli augustus september oktober november december",
        "jan feb mrt apr mei jun jul aug sep okt nov dec",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
        "ma di wo do vr za zo",
    ),
    "pl": _names(
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
        "listopada grudnia",
        "sty lut mar kwi maj cze lip sie wrz paź lis gru",
        "poniedziałek wtorek środa czwartek piątek sobota niedziela",
        "pon wt śr czw pt sob niedz",
    ),
    "ru": _names(
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
        "янв фев мар апр мая июн июл авг сен окт ноя дек",
        "понедельник вторник среда четверг пятница суббота воскресенье",
        "пн вт ср чт пт сб вс",
    ),
    "tr": _names(
        "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
        "Oca Şub Mar Nis May Haz Tem Ağu Eyl Eki Kas Ara",
        "Pazartesi Salı Çarşamba Perşembe Cuma Cumartesi Pazar",
        "Pzt Sal Çar Per Cum Cmt Paz",
    ),
    "sv": _names(
        "januari februari mars april maj juni juli augusti september oktober november december",
        "jan feb mar apr maj jun jul aug sep okt nov dec",
        "måndag tisdag onsdag torsdag fredag lördag söndag",
        "mån tis ons tor fre lör sön",
    ),
    "da": _names(
        "januar februar marts april maj juni juli august september oktober november december",
        "jan feb mar apr maj jun jul aug sep okt nov dec",
        "mandag tirsdag onsdag torsdag fredag lørdag søndag",
        "man tir ons tor fre lør søn",
    ),
    "no": _names(
        "januar februar mars april mai juni juli august september oktober november desember",
        "jan feb mar apr mai jun jul aug sep okt nov des",
        "mandag tirsdag onsdag torsdag fredag lørdag søndag",
        "man tir ons tor fre lør søn",
    ),
    "cs": _names(
        "ledna února března dubna května června července srpna září října listopadu prosince",
        "led úno bře dub kvě čvn čvc srp zář říj lis pro",
        "pondělí úterý středa čtvrtek pátek sobota neděle",
        "po út st čt pá so ne",
    ),
    "cs2": _names(
        "leden únor březen duben květen červen červenec srpen září říjen listopad prosinec",
        "led úno bře dub kvě čvn čvc srp zář říj lis pro",
        "pondělí úterý středa čtvrtek pátek sobota neděle",
        "po út st čt pá so ne",
    ),
    "pl2": _names(
        "styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik "
        "listopad grudzień",
        "sty lut mar kwi maj cze lip sie wrz paź lis gru",
        "poniedziałek wtorek środa czwartek piątek sobota niedziela",
        "pon wt śr czw pt sob niedz",
    ),
    "ru2": _names(
        "январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
        "янв фев мар апр май июн июл авг сен окт ноя дек",
        "понедельник вторник среда четверг пятница суббота воскресенье",
        "пн вт ср чт пт сб вс",
    ),
    "hu": _names(
        "január február március április május június július augusztus szeptember október november "
        "december",
        "jan. febr. márc. ápr. máj. jún. júl. aug. szept. okt. nov. dec.",
        "hétfő kedd szerda csütörtök péntek szombat vasárnap",
        "h k sze cs p szo v",
    ),
    "fa": _names(  # of the Persian calendar
        "فروردین اردیبهشت خرداد تیر مرداد شهریور مهر آبان آذر دی بهمن اسفند",
        "فروردین اردیبهشت خرداد تیر مرداد شهریور مهر آبان آذر دی بهمن اسفند",
        "دوشنبه سه\u200cشنبه چهارشنبه پنجشنبه جمعه شنبه یکشنبه",
        "دوشنبه سه\u200cشنبه چهارشنبه پنجشنبه جمعه شنبه یکشنبه",
    ),
    "id": _names(
        "Januari Februari Maret April Mei Juni Juli Agustus September Oktober November Desember",
        "Jan Feb Mar Apr Mei Jun Jul Agu Sep Okt Nov Des",
        "Senin Selasa Rabu Kamis Jumat Sabtu Minggu",
        "Sen Sel Rab Kam Jum Sab Min",
    ),
}
