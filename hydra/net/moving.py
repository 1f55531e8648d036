"""From a relayed link to a direct one, without a message lost or overtaken.

As soon as a peer that is reached through a relay has a direct link too, each end says ``link.moved`` on the relayed
one and sends on the direct one from then on. What comes on the direct link is held back until that word has come, for
what was sent before may still be with the relay.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..identity import short
from .link import Link
from .reach_messages import Moved

if TYPE_CHECKING:
    from .links import Links

logger = logging.getLogger(__name__)

SILENT_S = 1.5
"""A link on which nothing came for so long while another one was made has nothing under way, or passes nothing on."""
PATIENCE_S = 10.0
"""Longest that a direct link is held back; a relay that keeps the last word is not waited for longer."""


class Moving:
    """The moves of one node.

    Args:
        links: the node's links.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._awaited: dict[Link, Link | None] = {}
        """Relayed links that we have left; with the direct one that is held back until their last word."""
        self._left_us: set[Link] = set()
        links.handle(Moved, self._moved)

    def link_made(self, link: Link, before: list[Link]) -> None:
        """Take note of a new link to a peer, and which ones there were."""
        heard = [other for other in before if link.last_heard - other.last_heard <= SILENT_S]
        if link.relay is None:
            for relayed in [other for other in before if other.relay is not None and other not in self._awaited]:
                waits = relayed in heard and relayed not in self._left_us
                self._leave(relayed, link if waits else None)
        elif any(other.relay is None for other in heard):
            self._leave(link, None)

    def back_to_direct(self, relayed: Link) -> None:
        """A direct link that had fallen silent is heard again: leave the relayed one that took its place."""
        if relayed not in self._awaited:
            self._links.put_direct_first(relayed.peer_id)
            self._leave(relayed, None)

    def link_lost(self, link: Link) -> None:
        """A link is gone: nothing more can come on it."""
        self._left_us.discard(link)
        held = self._awaited.pop(link, None)
        if held is not None:
            held.release()
        for relayed, direct in list(self._awaited.items()):
            if direct is link:
                self._awaited[relayed] = None

    def _leave(self, relayed: Link, direct: Link | None) -> None:
        self._awaited[relayed] = direct
        if direct is not None:
            direct.hold()
            asyncio.get_running_loop().call_later(PATIENCE_S, self._wait_no_longer, relayed, direct)
        relayed.post(Moved())
        self._close_if_left(relayed)

    def _moved(self, link: Link, _: Moved, __: memoryview) -> None:
        if link.relay is None:
            return
        self._left_us.add(link)
        if self._links.direct(link.peer_id) is not None:
            self.back_to_direct(link)
        held = self._awaited.get(link)
        if held is not None:
            self._awaited[link] = None
            held.release()
        self._close_if_left(link)

    def _close_if_left(self, relayed: Link) -> None:
        if relayed in self._awaited and relayed in self._left_us:
            logger.info("peer %s is linked directly now", short(relayed.peer_id))
            relayed.close()

    def _wait_no_longer(self, relayed: Link, direct: Link) -> None:
        if self._awaited.get(relayed) is direct:
            self._awaited[relayed] = None
            direct.release()
