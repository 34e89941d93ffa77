"""Portuguese."""

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

PORTUGUESE = Language(
    code="pt",
    phrases=PhraseLists(
        never=listed(
            "aham; uhum; ahã; mhm; mm; sim; sim sim; é; ok; okay; certo; tá; tá bom; tá certo; está bem; está bom; "
            "bom; muito bem; claro; entendi; entendo; compreendo; percebi; percebo; exato; exatamente; isso; isso "
            "mesmo; perfeito; ótimo; legal; beleza; com certeza; verdade; pois; pois é; pois sim; já; já vejo; sei; "
            "ah; ah sim; oh; nossa; puxa; haha; kkk; ha ha; hahaha; rs; atchim"
        ),
        always=listed(
            "para; pare; parou; espera; espere; peraí; espera aí; espere aí; um momento; um momentinho; um segundo; "
            "um minuto; só um momento; só um minuto; não não; não espera; chega; basta; silêncio; cala a boca; cale "
            "se; quieto; pausa; cancela; cancele; cancelar; esquece; esqueça; deixa pra lá; com licença; desculpa; "
            "desculpe; está errado; tá errado; não é isso; me deixa falar; me deixe falar; deixa eu falar; deixe me "
            "falar"
        ),
        repeat=listed(
            "repete; repita; repetir; pode repetir; podes repetir; você pode repetir; poderia repetir; pode repetir "
            "isso; poderia repetir isso; repete isso; repita isso; de novo; outra vez; mais uma vez; como; como "
            "assim; como é; o quê; quê; o que; o que você disse; o que disse; o que é que disse; que foi que disse; "
            "perdão; desculpe não ouvi; fala de novo; fale de novo; diz de novo; diga de novo; não entendi; não ouvi; "
            "não percebi; hein; hã"
        ),
    ),
    endings=EndingWords(
        fillers=bag("é é ã hã hum hmm hm mm éh ah eh uh hem"),
        openers=bag(
            "bom bem então olha olhe oi olá alô sim não ok tá certo por favor desculpe desculpa é e ah aí pois"
        ),
        never_last=bag(
            "o a os as um uma uns umas e ou mas porque se embora enquanto que meu minha meus minhas teu tua seu sua "
            "nosso nossa do da dos das no na nos nas ao aos à às pelo pela num numa cada cujo nem quando como este "
            "esse aquele porém pois"
        ),
        seldom_last=bag(
            "de em com por para pra sem sobre entre desde até durante contra é são está estão estava era foi ser "
            "estar tenho tem ter quero queria gostaria posso pode poderia preciso devo deve vou vai muito mais menos "
            "tão me te lhe também só talvez eu você ele ela nós eles onde quem qual não esta essa"
        ),
        unfinished=listed(
            "eu gostaria; gostaria de; eu quero; eu queria; queria; eu preciso; preciso de; me diz; me diga; diga me; "
            "me dá; me dê; dê me; quer dizer; ou seja; por exemplo; eu acho; acho que; você pode; pode me; poderia "
            "me; meu nome é; o meu nome é; eu me chamo; deixa eu ver; deixe me ver; vamos ver"
        ),
        finished=listed(
            "o que é; quem é; onde está; onde é; qual é; quanto é; que horas são; como está; como vai; como você "
            "está; sim eu quero; sim quero; sim posso; sim tenho; sim é; sim está; não quero; não posso; não tenho; "
            "não é; não está; ainda não; agora não; acho que não; eu não; também não; eu também; você também; nada "
            "mais; algo mais; mais um; mais uma; e você; para você; pra você; com você; de onde; para onde; para "
            "quem; com quem; de quem; para mim; só isso; claro que não; por que não; nunca mais; ok está; eu sou eu"
        ),
        answers=listed(
            "não; não obrigado; não obrigada; sim por favor; obrigado; obrigada; muito obrigado; muito obrigada; por "
            "favor; de nada; correto; incorreto; errado; está correto; está certo; só isso; é só isso; é só; é tudo; "
            "isso é tudo; mais nada; nada mais; não sei; eu não sei; sei lá; não faço ideia; não tenho certeza; acho "
            "que sim; acho que não; talvez; ainda não; agora não; nunca; sempre; ambos; os dois; nenhum; nada; oi; "
            "olá; alô; bom dia; boa tarde; boa noite; tchau; adeus; até logo; até mais; até amanhã; pode ser; pode; "
            "vamos; vai; ajuda; socorro; por quê; por que não; como; o quê; quem; quando; onde; quanto; quantos; "
            "qual; igualmente; você também; hoje; amanhã; tudo bem; tanto faz; como vai; como está; estou bem; para; "
            "espera"
        ),
        closers=bag("favor obrigado obrigada hoje agora amanhã ontem tchau adeus"),
        starts=listed(
            "o que; que; quem; quando; onde; por que; porque; como; qual; quais; quanto; quanta; quantos; quantas; "
            "você pode; pode; podes; poderia; posso; podemos; eu quero; quero; eu queria; queria; eu gostaria; "
            "gostaria; eu preciso; preciso; me diz; me diga; diga; me dá; me dê; mostra; mostre; reserva; reserve; "
            "liga; ligue; põe; coloca; abre; feche; envia; envie; manda; cancela; muda; tem; há; existe; é; está; "
            "meu; minha; o meu; a minha; eu tenho; tenho; eu sou; estou; eu estou; o; a; a que; de que"
        ),
        conditions=bag("se enquanto embora"),
        not_after_stop=bag("o a os as mim que um uma você hoje amanhã mim dois três"),
    ),
    entities=EntityWords(
        numbers={
            **counted("zero um/uma dois/duas três quatro cinco seis/meia sete oito nove"),
            **counted("dez onze doze treze quatorze/catorze quinze dezesseis/dezasseis dezessete dezoito dezenove", 10),
            **counted("vinte trinta quarenta cinquenta sessenta setenta oitenta noventa", 20, 10),
        },
        multiples={"duplo": 2, "triplo": 3},
        scales=bag("cem cento mil milhão milhões"),
        number_leads=bag(
            "número numero números telefone celular telemóvel código postal cep conta cartão pin senha referência "
            "pedido cpf rg nif passaporte ramal dígitos protocolo"
        ),
        letter_words=bag("a e o é à"),
        letter_pairs=listed("t v; e u a; p c; c d; d v d; c p f; r g"),
        letter_as=listed("de; como em; como"),
        spell_leads=bag("soletro soletrar soletra letra letras"),
        at_words=bag("arroba"),
        dot_words=bag("ponto"),
        address_signs=bag("arroba www http https"),
        email_leads=bag("email mail correio site"),
        is_words=bag("é"),
    ),
    questions=QuestionWords(
        open_words=bag("que quem quando onde como qual quais quanto quanta quantos quantas quê"),
        or_words=bag("ou"),
        yes_no_starts=listed(
            "é; está; são; tem; quer; queres; deseja; gostaria; pode; podes; posso; poderia; há; você; algo mais; "
            "mais alguma; precisa; vai; prefere; confirma; isso; te; lhe"
        ),
        tags=listed(
            "certo; não é; né; correto; ok; okay; tá; tá bom; tudo bem; está bem; está correto; está certo; sim; "
            "verdade; pode ser"
        ),
        ask_verbs=bag(
            "dar dê me dizer diga diz soletrar soletre soletra informar informe fornecer forneça passar repetir "
            "confirmar confirme digitar digite indicar indique"
        ),
        number=listed(
            "número; numero; telefone; celular; telemóvel; código; cep; conta; cartão; pin; senha; cpf; dígitos; "
            "ramal; passaporte; protocolo"
        ),
        spelled=listed("soletrar; soletre; soletra; letra por letra; placa; matrícula"),
        email=listed("email; correio eletrônico; correio eletrónico; endereço de email; site"),
    ),
)
