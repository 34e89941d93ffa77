"""Default words of the fakes, and how a text is cut into tokens."""

import re

_TOKEN = re.compile(r"\s*[^\s.,;:!?]+|\s*[.,;:!?]")

DEFAULT_TRANSCRIPTS = (
    "what is the weather like today",
    "tell me something about the sea",
    "how long does the train to the coast take",
    "and what should I bring with me",
)

_TAIL = (
    " The second sentence adds a little more detail for the listener. The third one keeps the voice busy for some time."
    " Then comes a fourth sentence of about the same length. A fifth sentence follows it without any hurry at all."
    " The sixth and last sentence ends the answer here."
)
# The first sentence of each ends at token 20, the full stop, and has no other mark before it.
REPLY_SEA = "Today the air near the coast is mild and clear with a light wind from the west until evening." + _TAIL
REPLY_TRAIN = "The next train to the coast leaves from platform four in about an hour and stops in eight towns." + _TAIL
REPLY_BAG = "You should bring a warm coat and good shoes because the path on the cliff is wet after rain." + _TAIL
# The first mark of this one is token 33.
REPLY_NO_BREAK = (
    "There is a long road that runs beside the river past the old mill and over the bridge into the valley where the"
    " first houses of the village stand under tall trees." + _TAIL
)
DEFAULT_REPLIES: tuple[str | tuple[str, ...], ...] = (REPLY_SEA, REPLY_TRAIN, REPLY_BAG, REPLY_NO_BREAK)


def reply_tokens(reply: str | tuple[str, ...]) -> tuple[str, ...]:
    """Tokens whose concatenation is the reply: words with their leading space, marks on their own."""
    return tuple(_TOKEN.findall(reply)) if isinstance(reply, str) else reply
