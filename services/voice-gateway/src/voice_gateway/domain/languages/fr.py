"""French."""

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

FRENCH = Language(
    code="fr",
    phrases=PhraseLists(
        never=listed(
            "mhm; hm hm; mm; oui; ouais; oui oui; ok; okay; d'accord; bien; très bien; bon; ah bon; ah; ah oui; oh; "
            "je vois; je comprends; compris; c'est ça; exact; exactement; tout à fait; bien sûr; parfait; super; "
            "génial; voilà; entendu; c'est bon; ça marche; ça va; vraiment; en effet; effectivement; ah d'accord; "
            "haha; ha ha; hahaha; hihi; atchoum"
        ),
        always=listed(
            "stop; arrête; arrêtez; attends; attendez; une seconde; un instant; une minute; un moment; non non; non "
            "attends; non attendez; ça suffit; assez; tais toi; taisez vous; silence; chut; pause; annule; annulez; "
            "annuler; laisse tomber; laissez tomber; oublie; oubliez; excusez moi; excuse moi; c'est faux; ce n'est "
            "pas ça; c'est pas ça; laisse moi parler; laissez moi parler; laissez moi finir"
        ),
        repeat=listed(
            "répète; répétez; répéter; tu peux répéter; vous pouvez répéter; peux tu répéter; pouvez vous répéter; "
            "pourriez vous répéter; pourrais tu répéter; pouvez vous répéter ça; peux tu répéter ça; encore une fois; "
            "encore; comment; comment ça; pardon; quoi; hein; qu'est ce que tu as dit; qu'est ce que vous avez dit; "
            "qu'avez vous dit; vous avez dit quoi; tu as dit quoi; redis le; redites le; redis ça; je n'ai pas "
            "compris; j'ai pas compris; je n'ai pas entendu; j'ai pas entendu"
        ),
    ),
    endings=EndingWords(
        fillers=bag("euh heu hum hmm hm mm ben bah um uh eh"),
        openers=bag(
            "alors bon ben bah oui non ah oh bonjour salut allô écoute écoutez ok d'accord s'il vous plaît pardon "
            "désolé et donc c'est c est"
        ),
        never_last=bag(
            "le la les un une des du et ou mais parce que si quand lorsque puisque comme mon ma mes ton ta tes son sa "
            "ses notre nos votre vos leur leurs ce cet cette ces au aux chaque dont ni je j l d qu c n s m t jusqu "
            "puis car"
        ),
        seldom_last=bag(
            "de à en dans par pour sans sur sous entre vers chez avec avant après depuis pendant contre est sont "
            "était suis es être ai as a ont avait avez avons peux peut pouvez voudrais veux veut dois doit vais va "
            "très plus moins aussi ne se me te il elle on nous vous tu ils elles qui quel quelle où tout tous toute "
            "seulement même encore quelques plusieurs"
        ),
        unfinished=listed(
            "je voudrais; j'aimerais; je veux; j'ai besoin; dis moi; dites moi; donne moi; donnez moi; est ce que; "
            "par exemple; c'est à dire; je pense; je crois; tu peux; vous pouvez; pouvez vous; je suis; il y a; mon "
            "nom est; je m'appelle; je cherche; voyons voir; voyons"
        ),
        finished=listed(
            "c'est où; il est où; elle est où; c'est qui; c'est pour vous; s'il vous plaît; et vous; chez vous; avec "
            "vous; et après; tu es où; pour qui; avec qui; c'est tout; pas du tout; après tout; rien de plus; une de "
            "plus; un de plus; moi aussi; oui je peux; oui je veux; oui j'ai; oui je suis; pas encore; non plus; moi "
            "non plus; s'en va; ça va; on y va; je peux; je l'ai; vas y; allez vous; comment ça va; quelle heure est "
            "il; où est il; où est elle; quoi encore; encore plus; et avant; et dedans; je ne peux; pouvez vous; "
            "voulez vous; le voilà"
        ),
        answers=listed(
            "non; non merci; oui s'il vous plaît; oui merci; merci; merci beaucoup; merci bien; s'il vous plaît; s'il "
            "te plaît; de rien; correct; incorrect; c'est correct; c'est exact; c'est tout; ce sera tout; rien "
            "d'autre; je ne sais pas; je sais pas; aucune idée; je ne suis pas sûr; je ne suis pas sûre; je crois; je "
            "pense; je crois que oui; je crois que non; je pense que oui; je pense que non; peut être; pas encore; "
            "pas maintenant; jamais; toujours; les deux; aucun; rien; bonjour; bonsoir; salut; allô; bonne nuit; "
            "bonne journée; bonne soirée; au revoir; à bientôt; à demain; à plus tard; allez y; vas y; aide; aidez "
            "moi; pourquoi; pourquoi pas; comment; quoi; qui; quand; où; combien; lequel; laquelle; vous aussi; "
            "aujourd'hui; demain; ça me va; ça m'est égal; comme vous voulez; comment ça va; comment allez vous; stop"
        ),
        closers=bag("plaît merci aujourd'hui demain maintenant hier revoir bientôt"),
        starts=listed(
            "quel; quelle; quels; quelles; qui; quand; où; pourquoi; comment; combien; que; qu'est ce; qu'est ce que; "
            "est ce que; pouvez vous; peux tu; pourriez vous; pourrais tu; vous pouvez; tu peux; puis je; je peux; je "
            "voudrais; j'aimerais; je veux; j'ai besoin; j'ai; je suis; je cherche; dis moi; dites moi; donne moi; "
            "donnez moi; montrez moi; réserve; réservez; appelle; appelez; mets; mettez; ouvre; ferme; envoie; "
            "envoyez; annulez; changez; avez vous; il y a; y a t il; mon; ma; le; la; c'est; on; nous; à quelle; je"
        ),
        conditions=bag("si lorsque puisque parce"),
        not_after_stop=bag("de que le la les un une mon"),
    ),
    entities=EntityWords(
        numbers={
            **counted("zéro un deux trois quatre cinq six sept huit neuf"),
            **counted("dix onze douze treize quatorze quinze seize", 10),
            **counted("vingt/vingts trente quarante cinquante soixante septante octante/huitante nonante", 20, 10),
        },
        multiples={"double": 2, "triple": 3},
        vigesimal=True,
        scales=bag("cent cents mille million millions"),
        number_leads=bag(
            "numéro numero numéros téléphone portable mobile code postal compte carte pin référence commande "
            "passeport poste chiffres dossier siret iban"
        ),
        letter_words=bag("a à y l d j c n s m t"),
        letter_pairs=listed("t v; u s a; p c; c d; d v d; s n c f"),
        letter_as=listed("comme"),
        spell_leads=bag("épelle épeler s'épelle s'écrit lettre lettres"),
        at_words=bag("arobase arobas at"),
        dot_words=bag("point"),
        address_signs=bag("arobase arobas underscore www http https"),
        email_leads=bag("email mail courriel adresse site"),
        is_words=bag("est c'est"),
    ),
    questions=QuestionWords(
        open_words=bag(
            "quel quelle quels quelles qui quand où pourquoi comment combien que quoi qu'est lequel laquelle"
        ),
        or_words=bag("ou"),
        yes_no_starts=listed(
            "est ce que; est ce; avez vous; voulez vous; pouvez vous; puis je; souhaitez vous; désirez vous; dois je; "
            "as tu; veux tu; peux tu; êtes vous; es tu; vous; tu; c'est; autre chose; y a t il; ça; cela; aimeriez "
            "vous"
        ),
        tags=listed(
            "n'est ce pas; d'accord; c'est ça; c'est bien ça; c'est correct; non; oui; correct; ça vous va; ça te va; "
            "ok; est ce correct; est ce que c'est correct"
        ),
        ask_verbs=bag(
            "donner donne donnez dire dis dites épeler épelez épelle indiquer indiquez communiquer répéter confirmer "
            "confirmez saisir saisissez fournir entrer entrez tapez"
        ),
        number=listed(
            "numéro; numero; téléphone; code postal; code; compte; carte; pin; référence; chiffres; poste; passeport; "
            "dossier"
        ),
        spelled=listed("épeler; épelez; épelle; lettre par lettre; plaque; immatriculation"),
        email=listed("email; mail; adresse mail; courriel; adresse électronique; adresse email; site web"),
    ),
)
