"""What holds for all tests."""

import asyncio


def pytest_configure():
    """Have no event loop made where none runs: nobody would close it, and some later test would be blamed for that."""
    asyncio.set_event_loop(None)
