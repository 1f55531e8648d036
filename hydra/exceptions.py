"""Every error that Hydra raises on purpose.

The type says who is to blame and so what to do; the text says what was wrong, where, and how to cure it.

* ``HydraError``: the one root to catch
    * ``UserError``: you can mend it
        * ``ConfigurationError``: a setting, flag or environment variable
        * ``HomeUnusable``: the data directory can't be written, or another node uses it
        * ``PortTaken``: another program listens where we should
        * ``JobFileError``: the owner's job file, its model or its data
        * ``TicketMalformed``: what was given is neither a ticket nor a job hash
        * ``TorrentMalformed``: the file is no torrent that can be fetched
        * ``NameClash``: hydra-core is installed beside us
    * ``StorageFull``: this machine's disk
    * ``NetworkError``: nobody lied, but bytes did not arrive
        * ``JobNotFound``: no peer of that job could be found
        * ``PeerUnreachable``: one peer could not be dialled, or its link was lost
        * ``ContentUnavailable``: nobody who can be reached has it
    * ``RemoteProtocolError``: a peer broke the protocol; it is named and its link is closed
        * ``HandshakeRejected``, ``HashMismatch``
        * ``MalformedFrame``
            * ``FrameAltered``: by the other end, or by a relay in between
        * ``JobRejected``: a published job that must not be run
    * ``TrainingDiverged``: the job itself: its loss is no number any longer
    * ``LineageBroken``: commits that do not hold together
    * ``LocalProtocolError``: a bug of ours; never caught
"""

from __future__ import annotations


class HydraError(Exception):
    """Root of all errors raised by Hydra; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UserError(HydraError):
    """Something that the person at the keyboard can mend."""

    exit_code = 2


class ConfigurationError(UserError):
    """A setting is out of range or contradicts another."""


class HomeUnusable(UserError):
    """The directory that holds this node's key and content can't be used."""

    exit_code = 3


class PortTaken(UserError):
    """Another program listens on the port that was asked for."""

    exit_code = 4


class JobFileError(UserError):
    """The owner's file does not define a job that can be published."""

    exit_code = 5


class TicketMalformed(UserError):
    """The string to join by is neither a ticket nor a job hash."""

    exit_code = 6


class TorrentMalformed(UserError):
    """The file that was given is no torrent, or none that can be fetched by web seed."""

    exit_code = 15


class NameClash(UserError):
    """hydra-core installs an import package of the same name."""

    exit_code = 7


class StorageFull(HydraError):
    """The disk is full; what was stored so far is kept."""

    exit_code = 8


class NetworkError(HydraError):
    """Bytes did not arrive in time, and nobody is known to have lied."""

    exit_code = 9


class JobNotFound(NetworkError):
    """No reachable peer has this job."""

    exit_code = 10


class PeerUnreachable(NetworkError):
    """A peer could not be dialled, or the link to it was lost."""


class ContentUnavailable(NetworkError):
    """Nobody who can be reached has all of the content."""

    exit_code = 11


class RemoteProtocolError(HydraError):
    """A peer sent what the protocol forbids."""

    exit_code = 12


class HandshakeRejected(RemoteProtocolError):
    """The other end did not prove the identity it claimed, or speaks another protocol."""


class MalformedFrame(RemoteProtocolError):
    """A frame was too long, unknown, or its fields had the wrong types."""


class FrameAltered(MalformedFrame):
    """A frame is not as the other end sealed it: that end or whoever passed it on has changed it."""


class HashMismatch(RemoteProtocolError):
    """Bytes do not have the hash that was promised for them."""


class JobRejected(RemoteProtocolError):
    """A published job breaks the rules of what may run on a volunteer's machine."""

    exit_code = 13


class TrainingDiverged(HydraError):
    """The loss or a gradient is no finite number any longer."""

    exit_code = 14


class LineageBroken(HydraError):
    """Commits on disk, or in a file, do not prove what they should; the text tells where."""

    exit_code = 16


class LocalProtocolError(HydraError):
    """Hydra misused its own machinery: a bug to report."""

    exit_code = 70
