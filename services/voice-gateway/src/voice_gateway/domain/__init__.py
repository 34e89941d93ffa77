"""Rules of conversation. Pure: time is an argument, nothing here does I/O."""
