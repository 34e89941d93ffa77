"""One call as asyncio tasks over ports."""
