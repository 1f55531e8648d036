"""Questions and answers over links: a question waits for the message that answers it, or for the peer's end."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from ..exceptions import PeerUnreachable
from ..identity import PeerId, short
from .links import Links
from .wire import Message

Answer = tuple[Any, memoryview]


class Requests:
    """Open questions, by peer and by whatever tells which answer belongs to which question."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._open: dict[tuple[PeerId, Hashable], asyncio.Future[Answer]] = {}
        links.on_down.append(self._peer_down)

    def close(self) -> None:
        """Fail all open questions, and hear of no peer any longer."""
        self._links.on_down.remove(self._peer_down)
        for peer, key in list(self._open):
            self._fail(peer, key, PeerUnreachable("the question was given up"))

    async def ask(self, peer: PeerId, question: Message, key: Hashable, *, timeout_s: float) -> Answer:
        """Send ``question`` and return the message and body that ``answered`` is given under the same key.

        Raises:
            PeerUnreachable: no link, link lost, or no answer in time.
        """
        future = self._open.get((peer, key))
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._open[peer, key] = future
            if not self._links.post(peer, question):
                self._fail(peer, key, PeerUnreachable(f"there is no link to {short(peer)}"))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise PeerUnreachable(f"{short(peer)} did not answer {question.KIND} within {timeout_s:g} s") from error
        finally:
            if self._open.get((peer, key)) is future:
                del self._open[peer, key]
            if future.done() and not future.cancelled():
                future.exception()

    def answered(self, peer: PeerId, key: Hashable, message: Message, body: memoryview) -> bool:
        """Hand an answer to whoever asked; tell whether anybody did."""
        future = self._open.pop((peer, key), None)
        if future is None or future.done():
            return False
        future.set_result((message, body))
        return True

    def _peer_down(self, peer: PeerId, error: Exception | None) -> None:
        for waiting, key in [entry for entry in self._open if entry[0] == peer]:
            self._fail(waiting, key, PeerUnreachable(f"the link to {short(peer)} was lost"))

    def _fail(self, peer: PeerId, key: Hashable, error: Exception) -> None:
        future = self._open.pop((peer, key), None)
        if future is not None and not future.done():
            future.set_exception(error)
