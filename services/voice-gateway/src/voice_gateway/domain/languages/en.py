"""English."""

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

ENGLISH = Language(
    code="en",
    phrases=PhraseLists(
        never=listed(
            "mhm; mm hmm; mm hm; mmhmm; hm hm; mm; uh huh; ah; aha; oh; ooh; wow; okay; ok; okey; kay; okie dokie; right;"
            "all right; alright; yeah; yep; yup; yes; ya; sure; i see; got it; gotcha; i got it; i understand; understood;"
            "makes sense; cool; nice; great; good; perfect; exactly; absolutely; definitely; true; of course; fine;"
            "oh okay; oh i see; oh right; go on; really; sounds good; very good; fair enough; no problem;"
            "ha; haha; ha ha; hahaha; hehe; he he; heh; lol; ahem; achoo; bless you; phew"
        ),
        always=listed(
            "stop; stop it; stop stop; stop talking; wait; wait a minute; wait a second; wait wait; hold on; hang on;"
            "hold it; no no; no stop; no wait; enough; thats enough; shut up; be quiet; quiet; quiet please; silence;"
            "shush; hush; pause; one second; one moment; just a second; just a minute; just a moment; excuse me; cancel;"
            "cancel that; never mind; nevermind; forget it; thats wrong; thats not right; thats not what i said;"
            "thats not what i meant; let me finish; let me speak; listen to me"
        ),
        repeat=listed(
            "repeat; repeat that; repeat it; repeat please; can you repeat; can you repeat that; could you repeat;"
            "could you repeat that; would you repeat that; can you repeat it; could you repeat it; say that again;"
            "say it again; can you say that again; could you say that again; can you say it again; come again; pardon;"
            "pardon me; i beg your pardon; beg your pardon; what did you say; what was that; what did you just say;"
            "once more; one more time; again; again please; i didnt catch that; i didnt get that; i didnt hear you;"
            "i didnt hear that; i missed that; sorry what; sorry what was that; sorry what did you say; huh; what;"
            "can you repeat the question; repeat the question; could you repeat the question; repeat what you said;"
            "can you repeat what you said; what was the question; please say that again; tell me again"
        ),
    ),
    endings=EndingWords(
        fillers=bag("um umm uh uhh uhm er err erm eh hmm hm mmm mm"),
        openers=bag("well oh so okay ok um uh hey hi hello please sorry ah yeah yes no right alright now look listen but its"),
        never_last=bag(
            "the a an and but or because cause cuz if although though unless until while whereas my your our their its i "
            "im ill ive id youre theyre were weve whose every than nor as whether gonna wanna gotta into onto via per "
            "theres thats lets which"
        ),
        seldom_last=bag(
            "to of at for from with without by about between during since against among toward towards under is are was am "
            "be been being do does did have has had will would can could should shall may might must cant dont doesnt didnt "
            "wont wouldnt shouldnt couldnt isnt arent wasnt havent hasnt this these those some any very really just "
            "also only even maybe perhaps we they he she who what when where how why like then so not more"
        ),
        unfinished=listed(
            "tell me; i want; i need; i would like; id like; let me; i think; i guess; i mean; you know; give me; show me;"
            "send me; do you know; i was wondering; kind of; sort of; can you; could you; would you; can i; could i; may i;"
            "the thing is; for example; such as; let me see; let me think; lets see; hold on a second; i have; i am;"
            "we need; we want; please give me; please tell me; i was; and then; going to; want to; have to; need to; able to;"
            "to the; in the; on the; in my; on my; the first; the last; the next; the other; in; on"
        ),
        answers=listed(
            "no; nope; nah; not really; no thanks; no thank you; yes please; thank you; thanks; thank you very much;"
            "thanks a lot; thank you so much; many thanks; please; please do; please dont; correct; thats correct; thats right;"
            "thats it; thats all; that is all; that is correct; that is right; incorrect; thats wrong; i do; i dont; i am;"
            "im not; i did; i didnt; i will; i wont; i can; i cant; i have; i havent; it is; it isnt; it does; it doesnt;"
            "we do; we dont; i think so; i dont think so; i hope so; i guess so; i dont know; no idea; im not sure; not sure;"
            "maybe; not yet; not now; never; always; both; neither; either; nothing; none; hello; hi; hey; hi there;"
            "hello there; good morning; good afternoon; good evening; good night; goodbye; bye; bye bye; see you;"
            "see you later; have a nice day; whatever; go ahead; please go ahead; do it; lets do it; lets go; sounds great;"
            "that works; that works for me; works for me; stop; wait; never mind; help; help me; how are you; im fine;"
            "im good; thats fine; thats great; thats okay; thats perfect; thats good; of course not; why; why not; how;"
            "what; who; when; where; how much; how many; which one; you too; nice to meet you; today; tomorrow"
        ),
        closers=bag("please thanks today tomorrow tonight yesterday now bye goodbye right instead anymore anyway too again"),
        starts=listed(
            "what; whats; who; whos; when; whens; where; wheres; why; how; hows; which; is; are; was; were; do; does; did;"
            "can you; could you; would you; will you; can i; could i; may i; can we; could we; shall; should; have you;"
            "has; i want; i need; i would like; id like; im looking for; please; tell me; give me; show me; book; call; play;"
            "set; turn; open; close; send; find; remind me; cancel; change; i have; my name is; my; the; i am; im; it; we;"
            "thats; there is; theres; add; put; make; schedule; order; switch; explain; translate; let us; lets"
        ),
        not_after_stop=bag("by sign signs light lights list lists time times word words and for until till over loss"),
    ),
    entities=EntityWords(
        numbers={
            **counted("zero/oh/nought one two three four/fore five six seven eight nine"),
            **counted("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10),
            **counted("twenty thirty forty/fourty fifty sixty seventy eighty ninety", 20, 10),
        },
        scales=bag("hundred thousand million billion dozen hundreds thousands"),
        multiples={"double": 2, "triple": 3, "treble": 3},
        number_leads=bag(
            "number numbers phone telephone mobile cell code zip postcode pin account card reference confirmation order "
            "ticket digits extension passport policy serial routing tracking ssn iban"
        ),
        letter_words=bag("a i o u y"),
        letter_pairs=listed("a m; p m; u s; u k; t v; o k; i d; p c; c d; a i; i t; d c; l a; n y; u s a; d v d; a t m"),
        letter_as=listed("as in; for; like; is for"),
        spell_leads=bag("spell spelled spelt spelling letter letters"),
        at_words=bag("at"),
        dot_words=bag("dot"),
        address_signs=bag("underscore www http https"),
        email_leads=bag("email mail website url"),
        is_words=bag("is its"),
    ),
    questions=QuestionWords(
        open_words=bag("what whats who whos whom when where wheres why how hows which whose"),
        or_words=bag("or"),
        yes_no_starts=listed(
            "is; are; was; were; do; does; did; have; has; had; will; would; can; could; should; shall; may; am; isnt; arent;"
            "dont; doesnt; didnt; wont; wouldnt; cant; couldnt; shouldnt; havent; hasnt; anything else; any other"
        ),
        tags=listed(
            "right; correct; okay; ok; yes; is that right; is that correct; is that okay; is that ok; isnt it; does that work;"
            "does that sound good; sound good; sounds good; all right; alright; dont you; arent you; would that be okay"
        ),
        ask_verbs=bag(
            "give tell spell provide share read say enter have get know take repeat confirm type dictate need ask want"
        ),
        number=listed(
            "number; phone; telephone; zip code; zip; postal code; postcode; code; pin; account; digits; card; extension;"
            "social security; routing; passport; reference; order id; tracking"
        ),
        spelled=listed("spell; spelling; spelled; letter by letter; letters; license plate; licence plate; plate"),
        email=listed("email; email address; mail address; e mail; website; web address; url"),
    ),
)  # fmt: skip
