"""Pairs of what was played and what a recogniser may have heard, with the answer known.

Recognition errors are simulated word by word at a word error rate: seven in ten are substitutions (half of them by a
word that looks alike, as a misheard word does, half by any other word), two are deletions and one is an insertion.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

PLAYED = [
    "Your table for four is booked for tomorrow at seven in the evening.",
    "I found three flights to Madrid, and the cheapest one leaves at nine in the morning.",
    "The weather in Paris will be sunny today, with a high of twenty two degrees.",
    "I can help you with billing, with technical problems, or with a new order.",
    "Your appointment with the doctor is on Monday the third at ten thirty.",
    "To reset your password, open the settings, choose security, and follow the steps.",
    "The package was sent yesterday and should arrive before the end of the week.",
    "Our office is open from eight in the morning until six in the evening.",
    "I am sorry to hear that, let me look into your account and see what happened.",
    "The total comes to forty two dollars, and you can pay by card or in cash.",
    "There are two bedrooms, a large kitchen, and a garden behind the house.",
    "You have one new message from your bank about a payment on Friday.",
    "The museum is closed on Tuesdays, but the gallery next door stays open.",
    "I have turned off the lights in the living room and locked the front door.",
    "The next train to the airport leaves from platform five in twelve minutes.",
    "Photosynthesis is how plants turn light, water and carbon dioxide into sugar and oxygen.",
    "You should drink plenty of water and rest, and call again if the fever stays.",
    "Your subscription renews on the first of March unless you cancel it before then.",
    "Would you like a room with a view of the sea, or one that faces the garden?",
    "The recipe needs two eggs, a cup of flour, some butter and a little salt.",
    "I have added milk, bread and apples to your shopping list.",
    "The capital of Australia is Canberra, although Sydney is the largest city.",
    "Please say or enter the last four digits of your card number.",
    "The warranty covers repairs for two years, but it does not cover water damage.",
]

CALLER = [
    "can you move it to eight instead",
    "what about flights in the afternoon",
    "no I meant the other one",
    "how much does it cost with breakfast",
    "I would rather talk to a person please",
    "that is not what I asked for",
    "could you send me the details by email",
    "do you have anything cheaper than that",
    "I already tried this and it did not work",
    "my name is John Miller and I live in Boston",
    "is there a bus that goes there as well",
    "what time does the shop close on Sunday",
    "please cancel my order from last week",
    "and what will it be like on Saturday",
    "how long does the repair usually take",
    "I think my neighbour took the parcel",
    "can I bring my dog to the hotel",
    "who wrote the book that you talked about",
    "tell me more about the history of the city",
    "I do not have the card with me right now",
    "my phone has been broken since this morning",
    "why is the bill higher than last month",
    "read me the second message again",
    "play something quiet by the piano player",
]

PARTLY = [
    "is the table for four by the window",
    "the flights to Madrid are too expensive for me",
    "will it be sunny in Paris tomorrow as well",
    "I need help with my new order because it never came",
    "can we make the appointment on Wednesday instead of Monday",
    "where do I find the settings you talked about",
    "the package has not arrived yet so where is it",
    "are you open in the evening on Saturdays too",
    "why did that happen to my account in the first place",
    "forty two dollars is a lot more than I expected",
    "does the garden get any sun in the afternoon",
    "who is the message from again and what does my bank want",
    "what time does the gallery close",
    "leave the lights in the kitchen on for now",
    "when does the train after that one leave",
    "and how do animals get their sugar then",
    "should I take something against the fever",
    "I want to cancel the subscription today",
    "how much is the room with a view",
    "I do not have any butter in the house",
    "take the apples off and put pears on the list",
    "I thought Sydney was the capital",
    "I do not know my card number by heart",
    "what if the water damage was not my fault",
]


@dataclass(frozen=True)
class Pair:
    """One recognition."""

    kind: str
    heard: str
    played: str
    echo: bool


def misheard(text: str, error_rate: float, chance: random.Random) -> str:
    """The text as a recogniser with that word error rate writes it: lower case, without marks."""
    vocabulary = " ".join(CALLER).lower().split()
    words = []
    for word in text.lower().replace(",", "").replace(".", "").replace("?", "").split():
        if chance.random() >= error_rate:
            words.append(word)
            continue
        kind = chance.random()
        if kind < 0.35 and len(word) > 2:
            at = chance.randrange(len(word))
            words.append(word[:at] + chance.choice("aeioutsrn") + word[at + chance.choice((0, 1, 2)) :])
        elif kind < 0.7:
            words.append(chance.choice(vocabulary))
        elif kind >= 0.9:
            words += [word, chance.choice(vocabulary)]
    return " ".join(words)


def pairs(seed: int, error_rates: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)) -> Iterator[Pair]:
    """Echoes whole and in part, and what a caller says: unrelated, about the same thing, and over the echo."""
    chance = random.Random(seed)
    for at, sentence in enumerate(PLAYED):
        window = " ".join(PLAYED[at - back] for back in (2, 1)) + " " + sentence
        words = sentence.split()
        for rate in error_rates:
            start = chance.randrange(0, len(words) - 4)
            part = " ".join(words[start : start + chance.randrange(4, 9)])
            for kind, text in (("echo_whole", sentence), ("echo_part", part)):
                if heard := misheard(text, rate, chance):
                    yield Pair(f"{kind}@{rate:.0%}", heard, window, True)
            for kind, text in (
                ("unrelated", chance.choice(CALLER)),
                ("partly", PARTLY[at]),
                ("over_start", " ".join(words[:4]) + " " + chance.choice(CALLER)),
                ("over_end", sentence + " " + chance.choice(CALLER)),
            ):
                if heard := misheard(text, rate, chance):
                    yield Pair(f"{kind}@{rate:.0%}", heard, window, False)
