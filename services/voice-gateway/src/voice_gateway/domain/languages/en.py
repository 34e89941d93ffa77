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
            "mhm; mm hmm; mm hm; mmhmm; hm hm; mm; uh huh; ah; aha; oh; ooh; wow; okay; ok; okey; kay; okie dokie; "
            "right; all right; alright; yeah; yep; yup; yes; ya; sure; i see; got it; gotcha; i got it; i understand; "
            "understood; makes sense; cool; nice; great; good; perfect; exactly; absolutely; definitely; true; of "
            "course; fine; go on; really; sounds good; very good; fair enough; no problem; ha; haha; ha ha; hahaha; "
            "hehe; he he; heh; lol; ahem; achoo; bless you; phew"
        ),
        always=listed(
            "stop; stop it; stop talking; wait; wait a minute; wait a second; hold on; hang on; hold it; no no; no "
            "stop; no wait; enough; that's enough; shut up; be quiet; quiet; silence; shush; hush; pause; one second; "
            "one moment; just a second; just a minute; just a moment; excuse me; cancel; cancel that; never mind; "
            "nevermind; forget it; that's wrong; that's not right; that's not what i said; that's not what i meant; "
            "let me finish; let me speak; listen to me"
        ),
        repeat=listed(
            "repeat; repeat that; repeat it; can you repeat; can you repeat that; could you repeat; could you repeat "
            "that; would you repeat that; can you repeat it; could you repeat it; say that again; say it again; can "
            "you say that again; could you say that again; can you say it again; come again; pardon; pardon me; i beg "
            "your pardon; beg your pardon; what did you say; what was that; what did you just say; once more; one "
            "more time; again; i didn't catch that; i didn't get that; i didn't hear you; i didn't hear that; i "
            "missed that; what; huh; can you repeat the question; repeat the question; could you repeat the question; "
            "repeat what you said; can you repeat what you said; what was the question; tell me again"
        ),
    ),
    endings=EndingWords(
        fillers=bag("um umm uh uhh uhm er err erm eh hmm hm"),
        openers=bag(
            "well oh so okay ok hey hi hello please sorry ah yeah yes no right alright now look listen but it's and"
        ),
        never_last=bag(
            "the a an and but or because cause cuz if although though unless until while whereas my your our their "
            "its i i'm i'll i've i'd you're they're we're we've whose every than nor as whether gonna wanna gotta "
            "into onto via per there's that's let's which"
        ),
        seldom_last=bag(
            "to of at in on for from with without by about between during since against among toward towards under is "
            "are was am be been being do does did have has had will would can could should shall may might must can't "
            "don't doesn't didn't won't wouldn't shouldn't couldn't isn't aren't wasn't haven't hasn't this these "
            "those some any very really just also only even maybe perhaps we they he she who what when where how why "
            "like then so not more it's"
        ),
        unfinished=listed(
            "tell me; i want; i need; i would like; i'd like; let me; i think; i guess; i mean; you know; give me; "
            "show me; send me; do you know; i was wondering; kind of; sort of; can you; could you; would you; can i; "
            "could i; may i; the thing is; for example; such as; let me see; let me think; let's see; i have; we "
            "need; we want; the first; the last; the next; the other"
        ),
        finished=listed(
            "it on; it in; them on; this on; that on; lights on; light on; radio on; log in; sign in; check in; "
            "going on; carry on; is it for; are you from; that for; what it is; where it is; how it is; who it "
            "is; what this is; what that is; what time it is; what is this; what's this; like this; like that; yes i "
            "am; yes i do; yes it is; yes i have; no i don't; no it isn't; no i haven't; i hope not; i think not; why "
            "not; of course not; once more; no more; any more; one more; not really; or so; i think so; think about; "
            "talk about; talking about; to talk to; looking for; waiting for; deal with; come from; okay then; ok "
            "then; alright then; all right then; who you are; what you are; where you are; how you are; who they are; "
            "what they are; where they are; how they are; who we are; where we are; who i am; where i am"
        ),
        answers=listed(
            "no; nope; nah; not really; no thanks; no thank you; yes please; thank you; thanks; thank you very much; "
            "thanks a lot; thank you so much; many thanks; please; please do; please don't; correct; that's correct; "
            "that's right; that's it; that's all; that is all; that is correct; that is right; incorrect; that's "
            "wrong; i do; i don't; i am; i'm not; i did; i didn't; i will; i won't; i can't; i haven't; it is; it "
            "isn't; it does; it doesn't; we do; we don't; i think so; i don't think so; i hope so; i guess so; i "
            "don't know; no idea; i'm not sure; not sure; maybe; not yet; not now; never; always; both; neither; "
            "either; nothing; none; hello; hi; hey; hi there; hello there; good morning; good afternoon; good "
            "evening; good night; goodbye; bye; bye bye; see you; see you later; have a nice day; whatever; go ahead; "
            "do it; let's do it; let's go; sounds great; that works; that works for me; works for me; stop; wait; "
            "never mind; help; help me; how are you; i'm fine; i'm good; that's fine; that's great; that's okay; "
            "that's perfect; that's good; of course not; why; why not; how; what; who; when; where; how much; how "
            "many; which one; you too; nice to meet you; today; tomorrow"
        ),
        closers=bag(
            "please thanks today tomorrow tonight yesterday now bye goodbye right instead anymore anyway too again"
        ),
        starts=listed(
            "what; what's; who; who's; when; when's; where; where's; why; how; how's; which; is; are; was; were; do; "
            "does; did; can you; could you; would you; will you; can i; could i; may i; can we; could we; shall; "
            "should; have you; has; i want; i need; i would like; i'd like; i'm looking for; please; tell me; give "
            "me; show me; book; call; play; set; turn; open; close; send; find; remind me; cancel; change; i have; my "
            "name is; my; the; i am; i'm; it; we; that's; there is; there's; add; put; make; schedule; order; switch; "
            "explain; translate; let us; let's"
        ),
        conditions=bag("if unless although though because while whenever"),
        not_after_stop=bag("by sign signs light lights list lists time times word words for until till over loss"),
    ),
    entities=EntityWords(
        numbers={
            **counted("zero/oh/o/nought one two three four/fore five six seven eight nine"),
            **counted("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10),
            **counted("twenty thirty forty/fourty fifty sixty seventy eighty ninety", 20, 10),
        },
        multiples={"double": 2, "triple": 3, "treble": 3},
        scales=bag("hundred thousand million billion dozen hundreds thousands"),
        number_leads=bag(
            "number numbers phone telephone mobile cell code zip postcode pin account card reference confirmation "
            "order ticket digits extension passport policy serial routing tracking ssn iban"
        ),
        letter_words=bag("a i u y"),
        letter_pairs=listed(
            "a m; p m; u s; u k; t v; o k; i d; p c; c d; a i; i t; d c; l a; n y; u s a; d v d; a t m"
        ),
        letter_as=listed("as in; for; like; is for"),
        spell_leads=bag("spell spelled spelt spelling letter letters"),
        at_words=bag("at"),
        dot_words=bag("dot"),
        address_signs=bag("underscore www http https"),
        email_leads=bag("email mail website url"),
        is_words=bag("is it's"),
    ),
    questions=QuestionWords(
        open_words=bag("what what's who who's whom when where where's why how how's which whose"),
        or_words=bag("or"),
        yes_no_starts=listed(
            "is; are; was; were; do; does; did; have; has; had; will; would; can; could; should; shall; may; am; "
            "isn't; aren't; don't; doesn't; didn't; won't; wouldn't; can't; couldn't; shouldn't; haven't; hasn't; "
            "anything else; any other"
        ),
        tags=listed(
            "right; correct; okay; ok; yes; is that right; is that correct; is that okay; is that ok; isn't it; does "
            "that work; does that sound good; sound good; sounds good; all right; alright; don't you; aren't you; "
            "would that be okay"
        ),
        ask_verbs=bag(
            "give tell spell provide share read say enter have get know take repeat confirm type dictate need ask"
        ),
        number=listed(
            "number; phone; telephone; zip code; zip; postal code; postcode; code; pin; account; digits; card; "
            "extension; social security; routing; passport; reference; order id; tracking"
        ),
        spelled=listed("spell; spelling; spelled; letter by letter; letters; license plate; licence plate; plate"),
        email=listed("email; email address; mail address; website; web address; url"),
    ),
)
