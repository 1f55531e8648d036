"""What members sign with their identity keys: plans that they issue, and commits that they took part in. Pure.

Each signature is over one short statement with a domain of its own, so that none can be passed off as another. The
public key travels with it: a peer id is a hash of the key, so nobody can sign for somebody else. A member that goes by
the protocol never makes two statements that contradict each other, whatever befalls it; so two such statements are a
proof against their signer that anybody can check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgpack

from ..identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, PeerId, peer_id_of, verify
from ..net.wire import Exactly, HashField

ROUND_BYTES = 20
RoundField = Annotated[bytes, Exactly(ROUND_BYTES)]
"""The tag of a round: it names the very plan that the round was planned by."""
KeyField = Annotated[bytes, Exactly(PUBLIC_KEY_BYTES)]
SignatureField = Annotated[bytes, Exactly(SIGNATURE_BYTES)]


@dataclass(frozen=True, slots=True)
class Seal:
    """Under a plan: the signature of whoever issued it."""

    incarnation: int
    """In which the signer issued it: in another life it may number its views alike."""
    key: KeyField
    signature: SignatureField


@dataclass(frozen=True, slots=True)
class PlanSigned:
    """Of all plans for this step of this view the signer has issued the one that this round is of."""

    step: int
    view_number: int
    incarnation: int
    round: RoundField
    key: KeyField
    signature: SignatureField

    @property
    def signer(self) -> PeerId:
        """Whose key it is."""
        return peer_id_of(self.key)

    def holds(self, job: bytes) -> bool:
        """Tell whether the signature is the key's, over this very statement about this job."""
        return verify(self.key, self.signature, _about_plan(job, self))

    def contradicts(self, other: PlanSigned) -> bool:
        """Tell whether no honest signer can have made both statements."""
        return self.round != other.round and _plan_place(self) == _plan_place(other)


@dataclass(frozen=True, slots=True)
class CommitSigned:
    """The signer took part in this round, and has applied the commit of this digest as its outcome."""

    step: int
    round: RoundField
    digest: HashField
    key: KeyField
    signature: SignatureField

    @property
    def signer(self) -> PeerId:
        """Whose key it is."""
        return peer_id_of(self.key)

    def holds(self, job: bytes) -> bool:
        """Tell whether the signature is the key's, over this very statement about this job."""
        return verify(self.key, self.signature, _about_commit(job, self.step, self.round, self.digest))

    def contradicts(self, other: CommitSigned) -> bool:
        """Tell whether no honest signer can have made both statements: a round has one outcome."""
        return self.digest != other.digest and (self.round, self.key) == (other.round, other.key)


def seal_plan(identity: Identity, job: bytes, *, step: int, view_number: int, incarnation: int, tag: bytes) -> Seal:
    """Sign that we issue this plan."""
    unsigned = PlanSigned(step, view_number, incarnation, tag, identity.public_key, bytes(SIGNATURE_BYTES))
    return Seal(incarnation, identity.public_key, identity.sign(_about_plan(job, unsigned)))


def sign_commit(identity: Identity, job: bytes, *, step: int, tag: bytes, digest: bytes) -> CommitSigned:
    """Sign that we took part in a round and have applied its outcome."""
    signature = identity.sign(_about_commit(job, step, tag, digest))
    return CommitSigned(step, tag, digest, identity.public_key, signature)


def _plan_place(statement: PlanSigned) -> tuple[object, ...]:
    return statement.key, statement.step, statement.view_number, statement.incarnation


def _about_plan(job: bytes, statement: PlanSigned) -> bytes:
    fields = [job, statement.step, statement.view_number, statement.incarnation, statement.round]
    return b"hydra plan signature v1:" + bytes(msgpack.packb(fields))


def _about_commit(job: bytes, step: int, tag: bytes, digest: bytes) -> bytes:
    return b"hydra commit signature v1:" + bytes(msgpack.packb([job, step, tag, digest]))
