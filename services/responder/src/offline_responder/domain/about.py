"""What the responder says of itself and of the system around it. It never passes for a language model."""

from offline_responder.domain.text import has, has_all

MODEL_ID = "offline-rules"
SELF = "I am a scripted assistant, not a language model."
HELP = (
    "I can tell you the time and the date, do sums, count, name capitals, answer a few simple questions, "
    "remember your name for this call, "
    "and tell a short or a long story. You can interrupt me at any time."
)

_ANSWERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        (
            "language model",
            "are you a robot",
            "are you human",
            "are you real",
            "artificial intelligence",
            "an ai",
            "a i",
            "are you a person",
            "llama",
            "gpt",
            "chat bot",
            "chatbot",
        ),
        f"{SELF} I answer by fixed rules, so that the voice loop can be tried without one.",
    ),
    (
        ("who are you", "what are you", "your name", "who is this", "who am i talking to", "who am i speaking"),
        f"{SELF} My model name is offline rules, and I stand in where no language model runs.",
    ),
    (
        (
            "help",
            "what can you do",
            "what can i say",
            "what can i ask",
            "can you help me",
            "what do you know",
            "what can i do",
        ),
        HELP,
    ),
    (
        ("interrupt you", "interrupt", "barge in"),
        "Yes. Speak while I speak, and the gateway stops me. Ask for a long story to try it.",
    ),
    (
        ("voice workflow", "this system", "this gateway", "the gateway", "this call"),
        (
            "This is a voice gateway. It streams your speech to a recogniser, the words to a language model, and the "
            "answer to a synthesiser. Here I am in the place of the language model."
        ),
    ),
    (
        ("riva", "reva", "nvidia", "speech recogniser", "speech recognizer", "speech recognition"),
        (
            "The gateway speaks the protocol of NVIDIA Riva for speech in and speech out. On a laptop a small speech "
            "server takes its place."
        ),
    ),
    (
        ("how fast are you", "how quick are you", "latency"),
        (
            "I need a few milliseconds. Most of the time between your words and mine goes into knowing that you have "
            "finished."
        ),
    ),
    (
        (
            "can you hear me",
            "do you hear me",
            "are you there",
            "is anybody there",
            "is anyone there",
            "are you listening",
        ),
        "Yes, I hear you.",
    ),
    (
        ("who made you", "who built you", "who created you", "who wrote you"),
        "I am part of the voice workflow project. My answers were written by hand.",
    ),
    (
        ("where are you", "where do you live"),
        "I run as a small web server on the same machine or cluster as the gateway.",
    ),
    (("how old are you", "when were you born"), "I have no age. I start when the process starts."),
    (
        ("do you remember", "do you learn", "do you record"),
        "I keep nothing. I only see the conversation that the gateway sends with each turn.",
    ),
    (("test", "testing", "one two three"), "I hear you. The test works."),
)


def answer(words: tuple[str, ...]) -> str | None:
    for phrases, text in _ANSWERS:
        if has(words, *phrases):
            return text
    if has_all(words, "do", "you", "like") or has_all(words, "your", "favorite") or has_all(words, "your", "favourite"):
        return "I am a set of rules, so I like nothing and dislike nothing."
    return None
