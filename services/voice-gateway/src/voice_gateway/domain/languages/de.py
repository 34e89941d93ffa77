"""German."""

from voice_gateway.domain.languages.tables import (
    EndingWords,
    EntityWords,
    Language,
    PhraseLists,
    QuestionWords,
    bag,
    counted,
    listed,
)

_ONES = {**counted("ein zwei drei vier fünf sechs sieben acht neun", 1)}
_TENS = counted("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig", 20, 10)

GERMAN = Language(
    code="de",
    phrases=PhraseLists(
        never=listed(
            "mhm; hm hm; aha; ah; ach; ach so; achso; oh; ja; ja ja; jaja; jawohl; okay; ok; gut; sehr gut; genau; "
            "richtig; stimmt; klar; alles klar; na klar; verstehe; ich verstehe; verstanden; in ordnung; schön; "
            "super; prima; toll; perfekt; natürlich; gerne; gern; sicher; passt; jo; joa; echt; wirklich; wow; haha; "
            "ha ha; hahaha; hihi; hatschi"
        ),
        always=listed(
            "stopp; stop; halt; warte; warten sie; warte mal; warten sie mal; moment; moment mal; einen moment; einen "
            "moment bitte; eine sekunde; eine minute; nein nein; nee nee; nein warte; nein stopp; hör auf; hören sie "
            "auf; aufhören; genug; das reicht; es reicht; ruhe; sei still; seien sie still; sei ruhig; schluss; "
            "pause; abbrechen; abbruch; vergiss es; vergessen sie es; entschuldigung; das ist falsch; das stimmt "
            "nicht; lass mich ausreden; lassen sie mich ausreden"
        ),
        repeat=listed(
            "wiederholen; wiederhole das; wiederholen sie; wiederholen sie das; wiederhol das; kannst du das "
            "wiederholen; können sie das wiederholen; könnten sie das wiederholen; könntest du das wiederholen; noch "
            "mal; nochmal; noch einmal; wie bitte; bitte was; was; was hast du gesagt; was haben sie gesagt; wie war "
            "das; sag das nochmal; sagen sie das nochmal; sag das noch mal; sagen sie das noch mal; sagen sie das "
            "noch einmal; kannst du das nochmal sagen; können sie das noch einmal sagen; das habe ich nicht "
            "verstanden; ich habe das nicht verstanden; ich habe sie nicht verstanden; hä; pardon"
        ),
    ),
    endings=EndingWords(
        fillers=bag("äh ähm ähh öh öhm hm hmm ehm eh em um uh"),
        openers=bag("also ja nein nee na ach oh hallo hey hi okay ok gut bitte entschuldigung so nun und es ist das"),
        never_last=bag(
            "der die das den dem des ein eine einen einem einer eines und oder aber weil dass ob wenn falls denn "
            "sondern obwohl während bevor nachdem damit mein meine meinen meinem meiner dein deine ihre ihren ihr "
            "unser unsere sein seine vom zum zur im am beim ins kein keine keinen als jede jeder jedes ich wir"
        ),
        seldom_last=bag(
            "in an auf mit von zu bei nach für über unter vor hinter neben zwischen durch gegen ohne um bis seit aus "
            "ist sind war waren bin bist sein hat habe haben hatte wird werde werden wurde kann können könnte möchte "
            "will wollen soll sollte muss müssen darf würde mag er sie es man wie wo wer was wann warum sehr noch "
            "auch nur schon diese dieser dieses diesen etwa so nicht mehr mir mich"
        ),
        unfinished=listed(
            "ich möchte; ich hätte gern; ich hätte gerne; ich brauche; ich will; ich würde gern; ich würde gerne; sag "
            "mir; sagen sie mir; gib mir; geben sie mir; können sie; kannst du; zum beispiel; das heißt; ich glaube; "
            "ich denke; ich meine; mein name ist; ich heiße; mal sehen; lass mich überlegen"
        ),
        finished=listed(
            "was ist das; wer ist das; wie ist das; ich auch; das auch; ja bin ich; ja habe ich; ja ist es; ja das "
            "ist es; noch nicht; gar nicht; nicht mehr; ich nicht; das nicht; ich weiß nicht; weiß nicht; glaube "
            "nicht; ich glaube nicht; lieber nicht; es geht nicht; geht nicht; nichts mehr; sag mir wie; so ist es; "
            "das ist es; wie ist es; was kostet das; ich will das; das kann ich; das weiß ich; das will ich; das "
            "möchte ich; das mache ich; weiß ich; wie geht es; was ist es; wie spät ist es; reicht mir; hilf mir; "
            "helfen sie mir; mit mir"
        ),
        answers=listed(
            "nein; nee; nö; nein danke; ja bitte; danke; danke schön; dankeschön; vielen dank; danke sehr; bitte; "
            "bitte schön; korrekt; falsch; das stimmt; das ist richtig; das ist alles; das war alles; das wars; keine "
            "ahnung; weiß nicht; weiß ich nicht; ich weiß nicht; ich weiß es nicht; ich bin nicht sicher; ich glaube "
            "schon; ich glaube nicht; vielleicht; noch nicht; jetzt nicht; nie; niemals; immer; beide; keins; nichts; "
            "hallo; guten tag; guten morgen; guten abend; gute nacht; tschüss; auf wiedersehen; auf wiederhören; bis "
            "dann; bis später; bis morgen; los; weiter; hilfe; warum; warum nicht; wieso; wie; wer; wann; wo; wie "
            "viel; wie viele; welche; heute; morgen; mir egal; egal; passt mir; das passt; geht klar; wie geht es "
            "dir; wie geht es ihnen; mir geht es gut; stopp; halt"
        ),
        closers=bag("bitte danke heute morgen jetzt gestern tschüss zurück an auch gern gerne"),
        starts=listed(
            "was; wer; wann; wo; warum; wieso; weshalb; wie; welche; welcher; welches; wohin; woher; können sie; "
            "kannst du; könnten sie; könntest du; kann ich; könnte ich; können wir; darf ich; haben sie; hast du; "
            "gibt es; ist; sind; ich möchte; ich hätte; ich brauche; ich will; ich würde; ich suche; ich habe; ich "
            "bin; sag; sagen sie; gib; geben sie; zeig; buche; buchen sie; ruf; spiel; mach; schalte; stell; öffne; "
            "schick; bitte; mein; meine; der; die; das; es; wir; um wie viel; für wann"
        ),
        conditions=bag("wenn falls weil obwohl während da"),
        not_after_stop=bag("bis auf auf mal für schild gemacht"),
    ),
    entities=EntityWords(
        numbers={
            **counted("null eins zwei/zwo drei vier fünf sechs sieben acht neun"),
            **counted("zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn", 10),
            **_TENS,
            **{f"{unit}und{ten}": tens + ones for unit, ones in _ONES.items() for ten, tens in _TENS.items()},
        },
        multiples={"doppel": 2, "doppelt": 2},
        scales=bag("hundert tausend million millionen"),
        number_leads=bag(
            "nummer nummern telefonnummer handynummer rufnummer telefon handy code postleitzahl plz pin konto "
            "kontonummer karte kartennummer kundennummer bestellnummer referenz ziffern durchwahl iban ausweis "
            "vertragsnummer"
        ),
        letter_pairs=listed("z b; d h; u s a; e u; t v; p c; c d; d v d; b m w; v w; d h l; k o"),
        letter_as=listed("wie"),
        spell_leads=bag("buchstabiere buchstabiert buchstabieren buchstabe buchstaben schreibt"),
        at_words=bag("ät at klammeraffe"),
        dot_words=bag("punkt dot"),
        address_signs=bag("unterstrich klammeraffe ät www http https"),
        email_leads=bag("email mail mailadresse emailadresse webseite"),
        is_words=bag("ist lautet"),
    ),
    questions=QuestionWords(
        open_words=bag(
            "was wer wen wem wann wo warum wieso weshalb wie welche welcher welches welchen wohin woher wessen wieviel"
        ),
        or_words=bag("oder"),
        yes_no_starts=listed(
            "ist; sind; haben; hast; kann; können; könnten; soll; sollen; darf; möchten; möchtest; wollen; willst; "
            "wäre; war; passt; gibt; stimmt; brauchen; brauchst; noch etwas; sonst noch; würden; würdest; geht"
        ),
        tags=listed(
            "richtig; oder; ja; okay; ok; stimmt das; ist das richtig; ist das korrekt; nicht wahr; korrekt; passt "
            "das; einverstanden; in ordnung; ist das okay"
        ),
        ask_verbs=bag(
            "geben gib nennen nenne nennst sagen sag sagst buchstabieren buchstabiere mitteilen angeben wiederholen "
            "bestätigen eingeben verraten durchgeben"
        ),
        number=listed(
            "nummer; telefonnummer; handynummer; rufnummer; telefon; handy; code; postleitzahl; plz; pin; "
            "kontonummer; kartennummer; kundennummer; bestellnummer; ziffern; vertragsnummer; iban"
        ),
        spelled=listed("buchstabieren; buchstabiere; buchstabierst; buchstabe für buchstabe; kennzeichen"),
        email=listed("email; email adresse; mailadresse; emailadresse; mail adresse; webseite"),
    ),
)
