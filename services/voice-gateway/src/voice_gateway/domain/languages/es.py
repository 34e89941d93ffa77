"""Spanish."""

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

SPANISH = Language(
    code="es",
    phrases=PhraseLists(
        never=listed(
            "ajá; aja; mhm; mm; sí; vale; ok; okay; okey; claro; claro que sí; ya; ya veo; bueno; bien; muy bien; de "
            "acuerdo; entiendo; entendido; perfecto; exacto; exactamente; correcto; así es; genial; qué bien; cierto; "
            "por supuesto; desde luego; sí sí; ah; oh; uy; anda; vaya; ja; jaja; ja ja; jajaja; jeje"
        ),
        always=listed(
            "para; pare; detente; deténgase; alto; basta; ya basta; espera; espere; espérate; un momento; un segundo; "
            "un minuto; no no; no no no; no espera; silencio; cállate; cállese; calla; olvídalo; olvídelo; cancela; "
            "cancelar; cancele; perdona; perdone; disculpa; disculpe; déjame hablar; déjeme hablar; eso no es"
        ),
        repeat=listed(
            "repite; repítelo; repita; repítalo; puedes repetir; puede repetir; puedes repetirlo; puede repetirlo; "
            "puedes repetir eso; puede repetir eso; podrías repetir; podría repetir; podrías repetirlo; podría "
            "repetirlo; otra vez; de nuevo; una vez más; cómo; cómo dices; cómo dice; cómo has dicho; qué; qué "
            "dijiste; qué has dicho; qué ha dicho; qué dijo; perdón; dilo otra vez; dígalo otra vez; no te oí; no le "
            "oí; no te he oído; no le he oído; no entendí; no te entendí; no le entendí"
        ),
    ),
    endings=EndingWords(
        fillers=bag("eh ehm em este mmm hmm mm um uh pues"),
        openers=bag("bueno pues oye oiga mira mire hola ah oh sí no vale ok claro por favor perdón es son y entonces"),
        never_last=bag(
            "el la los las un una unos unas y e o u pero porque si aunque mientras que mi mis tu tus su sus nuestro "
            "nuestra del al cada cuyo ni sino cuando donde como este aquel"
        ),
        seldom_last=bag(
            "de a en con por para sin sobre entre desde hasta hacia según durante es son está están era fue ser estar "
            "he ha han había tengo tiene quiero quisiera puedo puede podría debe voy va muy más menos tan me te se le "
            "les lo nos también sólo solo quizás tal esta estas estos esa ese"
        ),
        unfinished=listed(
            "me gustaría; quiero; quisiera; necesito; dime; dígame; dame; deme; o sea; es decir; por ejemplo; tengo "
            "que; voy a; creo que; quería; me puede; me puedes; puedes; podrías; mi nombre es; me llamo; a ver; "
            "déjame ver; déjeme ver"
        ),
        finished=listed(
            "qué es; quién es; dónde está; cuánto es; qué hora es; cómo está; cómo estás; así es; cómo te va; lo sé; "
            "no lo sé; no más; nada más; algo más; uno más; para qué; por qué; claro que sí; sí quiero; sí puedo; sí "
            "tengo; sí es; no quiero; no puedo; no tengo; no es; aquí está; ya está"
        ),
        answers=listed(
            "no; no gracias; sí por favor; gracias; muchas gracias; muchísimas gracias; por favor; de nada; correcto; "
            "incorrecto; así es; eso es; eso es todo; nada más; es todo; no sé; no lo sé; ni idea; no estoy seguro; "
            "no estoy segura; creo que sí; creo que no; tal vez; quizás; a lo mejor; todavía no; ahora no; nunca; "
            "siempre; ambos; ninguno; nada; hola; buenos días; buenas tardes; buenas noches; adiós; hasta luego; "
            "hasta mañana; chao; adelante; para; espera; ayuda; por qué; por qué no; cómo; qué; quién; cuándo; dónde; "
            "cuánto; cuántos; cuál; igualmente; hoy; mañana; está bien; me parece bien; bien gracias; qué tal; cómo "
            "estás; cómo está; me da igual"
        ),
        closers=bag("favor gracias hoy ahora mañana ayer adiós también luego"),
        starts=listed(
            "qué; quién; quiénes; cuándo; dónde; por qué; cómo; cuál; cuáles; cuánto; cuánta; cuántos; cuántas; "
            "puedes; puede; podrías; podría; puedo; podemos; quiero; quisiera; me gustaría; necesito; dime; dígame; "
            "dame; deme; hay; tiene; tienes; es; está; busco; reserva; reserve; llama; pon; ponga; abre; cierra; "
            "envía; cambia; cancela; mi; me llamo; tengo; estoy; soy; a qué; de qué; el; la; quería"
        ),
        conditions=bag("si aunque mientras porque"),
        not_after_stop=bag("el la los las mi que un una mí ti mañana hoy dos tres cuatro"),
    ),
    entities=EntityWords(
        numbers={
            **counted("cero uno dos tres cuatro cinco seis siete ocho nueve"),
            **counted("diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve", 10),
            **counted("veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete", 20),
            **counted("treinta cuarenta cincuenta sesenta setenta ochenta noventa", 30, 10),
            "veintiocho": 28,
            "veintinueve": 29,
        },
        multiples={"doble": 2, "triple": 3},
        scales=bag("cien ciento cientos mil miles millón millones"),
        number_leads=bag(
            "número numero números teléfono telefono móvil celular código codigo postal cuenta tarjeta pin clave "
            "referencia pedido dni nie pasaporte extensión dígitos cif nif"
        ),
        letter_words=bag("a e o u y"),
        letter_pairs=listed("p m; a m; e e u u; t v; d n i; n i f"),
        letter_as=listed("de; como en; como; con"),
        spell_leads=bag("deletreo deletrear deletrea letra letras escribe"),
        at_words=bag("arroba"),
        dot_words=bag("punto"),
        address_signs=bag("arroba www http https"),
        email_leads=bag("email correo mail web"),
        is_words=bag("es"),
    ),
    questions=QuestionWords(
        open_words=bag("qué que quién quiénes cuándo dónde cómo cuál cuáles cuánto cuánta cuántos cuántas"),
        or_words=bag("o u"),
        yes_no_starts=listed(
            "es; está; son; tiene; tienes; quiere; quieres; desea; deseas; puede; puedes; puedo; podría; le; te; hay; "
            "algo más; necesita; necesitas; va; vas; ha; has; lo; la; confirma; prefiere"
        ),
        tags=listed(
            "verdad; no; correcto; vale; cierto; de acuerdo; está bien; no es así; es correcto; es así; le parece "
            "bien; te parece bien; sí"
        ),
        ask_verbs=bag(
            "dar darme dame deme decir decirme dime dígame indicar indicarme indique indícame deletrear deletrearme "
            "deletree deletrea proporcionar proporcione facilitar facilitarme repetir confirmar confirme introducir "
            "introduzca marque diga"
        ),
        number=listed(
            "número; numero; teléfono; telefono; móvil; celular; código; cuenta; tarjeta; pin; clave; dígitos; "
            "extensión; pasaporte; dni; referencia"
        ),
        spelled=listed("deletrear; deletrearme; deletree; deletrea; deletrearlo; letra por letra; matrícula"),
        email=listed("email; correo; correo electrónico; dirección de correo; página web"),
    ),
)
