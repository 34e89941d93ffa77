"""Rules of a speech server: what a stream answers, where an utterance ends, what a WAV header says. No I/O."""
