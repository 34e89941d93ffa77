"""The history against what really left the loudspeaker, at interruptions over a bad line; nothing of it is circular."""

import pytest

from bench.heard import Setting, measure

pytestmark = [pytest.mark.edge, pytest.mark.timeout(150)]


@pytest.mark.parametrize("jitter_ms", [200, 400])
async def test_the_history_holds_what_was_heard_give_or_take_a_word(jitter_ms: float) -> None:
    """Thirty interruptions; the gateway never sees the log that its history is compared with."""
    result = await measure(Setting(jitter_ms, acks=True, calls=15, interruptions=2))
    assert result.problems == []
    assert len(result.errors) >= 20, "most interruptions cut an answer that was heard"
    # An acknowledgement can come after the next request, at 400 ms each way or where a busy machine holds the client
    # up: then later requests have to be right.
    assert result.last_errors
    assert max(map(abs, result.last_errors)) <= 1, result.last_errors
    if jitter_ms <= 200:
        assert sum(abs(error) > 1 for error in result.errors) <= 2, result.errors
