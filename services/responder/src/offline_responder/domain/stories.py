"""Long answers, so that there is something to interrupt. Every text has at least 200 words."""

LIGHTHOUSE = (
    "A long time ago, on a small island in the north, there stood a lighthouse with a lamp that had never gone out. "
    "Its keeper was a woman called Marta. Every evening she climbed two hundred and twelve steps, cleaned the glass, "
    "filled the oil, and wrote one line in the book. The line was nearly always the same. Lamp burning, sea calm. "
    "One autumn a storm came that was larger than any storm in the book. The wind took the roof of the boat house, "
    "and then the boat. Waves broke over the rocks and ran up to the door. "
    "Late in the night, Marta heard a horn, far away and faint. A ship was out there, and it was asking where "
    "the land was. "
    "At that moment a stone came through the glass, and the rain put out the lamp. "
    "She did not stop to think. She took the tin plates from the kitchen, the mirror from the hall, and every "
    "candle in the house. "
    "She carried them up all two hundred and twelve steps, and she built a new lamp behind her coat, which she "
    "held against the wind with both arms. "
    "It was a small light. But the horn answered, once, then twice, and slowly it turned away from the rocks. "
    "In the morning the sea was flat and grey, as if nothing had happened. A fishing boat came with bread and "
    "new glass. "
    "The skipper asked why her hands were black. She showed him the book. Under the date she had written one line. "
    "Lamp burning, sea not calm. And that is the end of the story of the keeper and her lamp."
)

CLOCKMAKER = (
    "In a town between two hills there lived a clock maker called Anselm, who was never on time. "
    "He made the best clocks in the country, and he was late to every dinner, every meeting, and once even to "
    "his own birthday. "
    "People laughed about it, kindly at first, and then a little less kindly. "
    "So Anselm decided to build a clock that would always tell him when to leave. He gave it a long brass arm, "
    "a little bell, and forty wheels, one for every place in the town. The wheel for the bakery was small, "
    "because the bakery was near. "
    "The wheel for the mill was large, because the road to the mill was steep. "
    "He worked all winter. In spring he wound it up, and it worked. The bell rang, he put on his hat, and he was "
    "on time. "
    "He was on time on Monday, and on Tuesday, and for the whole month of April. "
    "And he found that he was unhappy. When he had been late, he had stopped on the bridge to look at the fish. "
    "He had helped the neighbour with her cart. He had listened to the blackbird on the wall of the school. "
    "Now the bell rang, and he walked past all of it. "
    "In the first week of May he opened the clock and added one more wheel. It was the smallest of them all, "
    "and it made the bell ring a quarter of an hour early. From then on he left early, stopped on the bridge, "
    "and was still on time. If you visit the town, you can see the clock. Nobody there is ever in a hurry, and "
    "nobody is ever late."
)

HOW_A_CALL_WORKS = (
    "I can talk for a while about how this call works, and you can stop me at any time. "
    "Your microphone makes sixteen thousand numbers every second. They travel to the gateway in small pieces, "
    "and the gateway passes them on to a speech recogniser. The recogniser does not wait until you are done. "
    "It guesses while you speak, and it changes its mind when later words make the earlier ones clearer. "
    "At the same time the gateway listens for silence. Silence is harder than it sounds. People stop in the "
    "middle of a sentence to think, "
    "and a listener who answers at every pause is rude, while one who always waits a second feels slow. "
    "Once your turn is over, the words go to a language model, or to me, when there is none. "
    "The answer comes back one small piece at a time. The gateway does not wait for the end of it. "
    "As soon as it has a phrase that can be spoken, it sends that phrase to the speech synthesiser, "
    "and while you hear the first phrase, the second one is already being made. "
    "All of that should take well under a second, because in a conversation between people the usual gap is "
    "about a fifth of a second. "
    "The part that is most often forgotten is the interruption. When you speak while I speak, the gateway has to "
    "notice, "
    "lower my voice, decide whether you only coughed or really want to say something, and then stop everything "
    "that is still on its way. "
    "It also has to remember which of my words you have heard, because you can only refer to those. "
    "If you want to try it, just speak now."
)

STORIES: tuple[str, ...] = (LIGHTHOUSE, CLOCKMAKER)
LONG_TEXTS: tuple[str, ...] = (LIGHTHOUSE, CLOCKMAKER, HOW_A_CALL_WORKS)

SHORT_STORY = (
    "A frog sat by a pond and wished for wings. A crow told it that wings are mostly work. "
    "The frog thought about that for a day, jumped into the pond, and never wished for wings again."
)

JOKES: tuple[str, ...] = (
    "Why did the microphone go to the party alone? It did not want any feedback.",
    "I told my computer that I needed a break. It froze.",
    "Parallel lines have so much in common. It is a shame that they will never meet.",
)


def rest_of(heard: str) -> str | None:
    """What follows in a long text after the part that `heard` begins with, from the start of the broken sentence on.

    `heard` is an answer as the conversation holds it: cut where the listener interrupted. Empty text when nothing is
    left, None when it is no beginning of a long text. A preface of up to five words before the text is ignored.
    """
    words = heard.split()
    for text in LONG_TEXTS:
        wanted = text.split()
        for skip in range(min(6, len(words))):
            length = _common(words[skip:], wanted)
            if length >= 4 and length >= len(words) - skip - 1:
                return " ".join(wanted[_sentence_start(wanted, length) :])
        for start in _sentence_starts(wanted):  # an answer that was itself a continuation
            for skip in (0, len(CONTINUE_PREFACE.split())):
                length = _common(words[skip:], wanted[start:])
                if length >= 6 and length >= len(words) - skip - 1:
                    return " ".join(wanted[_sentence_start(wanted, start + length) :])
    return None


CONTINUE_PREFACE = "Where was I?"


def _common(left: list[str], right: list[str]) -> int:
    length = 0
    for one, other in zip(left, right, strict=False):
        if one.rstrip(".,?!") != other.rstrip(".,?!"):
            break
        length += 1
    return length


def _sentence_starts(words: list[str]) -> list[int]:
    return [0] + [at + 1 for at, word in enumerate(words[:-1]) if word[-1] in ".?!"]


def _sentence_start(words: list[str], at: int) -> int:
    if at >= len(words):
        return len(words)
    return max(start for start in _sentence_starts(words) if start <= at)
