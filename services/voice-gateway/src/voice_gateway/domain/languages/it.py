"""Italian."""

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

_ONES = {**counted("uno due tre quattro cinque sei sette otto nove", 1), "tré": 3}
_TENS = counted("venti trenta quaranta cinquanta sessanta settanta ottanta novanta", 20, 10)

ITALIAN = Language(
    code="it",
    phrases=PhraseLists(
        never=listed(
            "mhm; mm; hm hm; sì; sì sì; ok; okay; va bene; bene; molto bene; certo; certamente; capito; ho capito; "
            "capisco; esatto; esattamente; giusto; perfetto; d'accordo; ah; ah ok; oh; aha; ecco; già; vero; davvero; "
            "ottimo; bello; chiaro; è vero; naturalmente; infatti; wow; haha; ahah; ahahah; ah ah; eccì"
        ),
        always=listed(
            "stop; ferma; fermo; fermati; si fermi; aspetta; aspetti; aspetta un attimo; un attimo; un momento; un "
            "secondo; un minuto; no no; no aspetta; basta; basta così; silenzio; zitto; stai zitto; zitta; pausa; "
            "annulla; annulli; annullare; lascia stare; lascia perdere; lasci stare; lasci perdere; scusa; scusi; mi "
            "scusi; è sbagliato; non è così; fammi parlare; mi faccia parlare; fammi finire"
        ),
        repeat=listed(
            "ripeti; ripeta; ripetere; puoi ripetere; può ripetere; potresti ripetere; potrebbe ripetere; me lo "
            "ripeti; me lo ripete; puoi ripeterlo; può ripeterlo; di nuovo; ancora una volta; un'altra volta; ancora; "
            "come; come scusa; come scusi; prego; cosa; che cosa; cosa hai detto; cosa ha detto; che hai detto; che "
            "ha detto; come hai detto; come ha detto; dillo di nuovo; lo dica di nuovo; non ho capito; non ho "
            "sentito; eh; pardon"
        ),
    ),
    endings=EndingWords(
        fillers=bag("ehm ehmm mmm hmm hm mm uhm um uh beh allora cioè"),
        openers=bag(
            "allora beh bè dunque senti senta guarda guardi ciao salve pronto sì no ok bene scusi scusa per favore è "
            "e ah oh"
        ),
        never_last=bag(
            "il lo la i gli le un uno una e ed o oppure ma perché se anche quando mentre che mio mia miei mie tuo tua "
            "suo sua nostro nostra vostro del dello della dei degli delle al allo alla ai agli alle nel nella nei "
            "nelle sul sulla dal dalla col ogni cui né come però quindi poi questo quella quel l d un'"
        ),
        seldom_last=bag(
            "di a da in con su per tra fra senza sopra sotto verso dopo prima durante fino è sono era ero sei siamo "
            "essere ho hai ha abbiamo hanno avevo vorrei voglio vuole posso può potrei devo deve vado va molto più "
            "meno troppo mi ti si ci vi ne non solo forse dove chi quale qualche questa questi io lei tu lui noi"
        ),
        unfinished=listed(
            "vorrei; mi piacerebbe; voglio; ho bisogno; mi dica; dimmi; mi dia; dammi; per esempio; ad esempio; penso "
            "che; credo che; puoi; può; potrebbe; potresti; mi può; mi puoi; il mio nome è; mi chiamo; vediamo; fammi "
            "pensare; mi faccia pensare"
        ),
        finished=listed(
            "cos'è; che cos'è; chi è; dov'è; dove è; com'è; qual è; che ore sono; quanto è; dove sei; come va; come "
            "ti va; ancora di più; di più; niente di più; in più; una in più; uno in più; sì lo sono; sì ce l'ho; sì "
            "è; sì posso; sì voglio; non posso; non voglio; non lo so; lo so; e lei; e tu; per lei; con lei; con me; "
            "anche tu; anche lei; anche io; anch'io; il primo; va va; così così; da dove; per dove; per chi; con chi; "
            "a chi; di chi; dimmi dove; che ci va; prima; dopo; sopra; sotto; non ci sono; non ne ho; ce ne sono"
        ),
        answers=listed(
            "no; no grazie; sì grazie; sì per favore; grazie; grazie mille; molte grazie; tante grazie; per favore; "
            "per piacere; prego; corretto; sbagliato; è corretto; è giusto; è tutto; basta così; nient'altro; non lo "
            "so; non so; non ne ho idea; non sono sicuro; non sono sicura; penso di sì; penso di no; credo di sì; "
            "credo di no; forse; non ancora; non adesso; non ora; mai; sempre; entrambi; nessuno; niente; nulla; "
            "ciao; salve; pronto; buongiorno; buonasera; buonanotte; arrivederci; a dopo; a domani; a presto; avanti; "
            "vai; vada; andiamo; aiuto; perché; perché no; come; cosa; chi; quando; dove; quanto; quanti; quale; "
            "anche a lei; anche a te; oggi; domani; va benissimo; mi va bene; per me va bene; fa lo stesso; come va; "
            "come stai; come sta; sto bene; stop"
        ),
        closers=bag("favore grazie oggi domani adesso ora ieri piacere arrivederci"),
        starts=listed(
            "che; che cosa; cosa; chi; quando; dove; perché; come; quale; quali; quanto; quanta; quanti; quante; "
            "puoi; può; potresti; potrebbe; posso; possiamo; vorrei; mi piacerebbe; voglio; ho bisogno; ho; dimmi; mi "
            "dica; dammi; mi dia; mostrami; prenota; prenoti; chiama; metti; accendi; spegni; apri; chiudi; manda; "
            "invia; annulla; cambia; c'è; ci sono; avete; ha; è; mi chiamo; il; la; il mio; la mia; sono; cerco; sto "
            "cercando; a che; per quando"
        ),
        conditions=bag("se mentre siccome poiché"),
        not_after_stop=bag("che il la lo un una di mi"),
    ),
    entities=EntityWords(
        numbers={
            **counted("zero uno/un due tre quattro cinque sei sette otto nove"),
            **counted("dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove", 10),
            **_TENS,
            **{
                (ten[:-1] if unit in {"uno", "otto"} else ten) + unit: tens + ones
                for unit, ones in _ONES.items()
                for ten, tens in _TENS.items()
            },
        },
        multiples={"doppio": 2, "triplo": 3},
        scales=bag("cento cent mille mila milione milioni"),
        number_leads=bag(
            "numero numeri telefono cellulare codice postale cap conto carta pin riferimento ordine passaporto "
            "interno cifre fiscale pratica prenotazione iban"
        ),
        letter_words=bag("a e i o è"),
        letter_pairs=listed("t v; u s a; p c; c d; d v d"),
        letter_as=listed("come; di"),
        spell_leads=bag("lettera lettere scrive compitare spelling"),
        at_words=bag("chiocciola at"),
        dot_words=bag("punto"),
        address_signs=bag("chiocciola underscore www http https"),
        email_leads=bag("email mail posta sito"),
        is_words=bag("è"),
    ),
    questions=QuestionWords(
        open_words=bag(
            "che cosa cos'è chi quando dove dov'è perché come com'è quale qual quali quanto quanta quanti quante"
        ),
        or_words=bag("o oppure"),
        yes_no_starts=listed(
            "è; ha; hai; vuole; vuoi; desidera; desideri; può; puoi; posso; potrebbe; c'è; ci; le; ti; altro; serve; "
            "va; preferisce; sono; sta; devo; conferma"
        ),
        tags=listed(
            "giusto; vero; corretto; ok; okay; va bene; no; sì; è corretto; è giusto; non è vero; d'accordo; le va "
            "bene; ti va bene"
        ),
        ask_verbs=bag(
            "dare darmi dammi dia dire dirmi dimmi dica compitare indicare indicarmi fornire fornirmi ripetere "
            "confermare lasciarmi inserire inserisca comunicare digiti"
        ),
        number=listed(
            "numero; telefono; cellulare; codice; cap; conto; carta; pin; cifre; interno; passaporto; riferimento"
        ),
        spelled=listed("compitare; lettera per lettera; spelling; targa"),
        email=listed("email; mail; indirizzo email; posta elettronica; indirizzo di posta; sito web"),
    ),
)
