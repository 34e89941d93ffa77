"""Use-cases of the speech worker: asyncio over ports."""
