"""What to say: pure rules over the messages of a conversation and a point in time."""
