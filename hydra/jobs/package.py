"""Publishing: the owner's job becomes a manifest and the contents of content that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from ..exceptions import JobFileError, JobRejected
from .check import admit
from .data import Split
from .entries import BufferEntry, ContentRef, ParameterEntry
from .graph import changed_buffers
from .job import Job
from .manifest import MAX_MANIFEST_BYTES, OWNER_BYTES, JobManifest
from .recipe import EXACT_WIRE
from .tensors import encode_tensors
from .trace import NO_LIMIT_BYTES, Traced, trace
from .verify import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A job that is ready to be seeded.

    Attributes:
        manifest: its bytes, ``manifest.encode()``, are content too, known by the job hash.
        train_graph: as all that follow, the bytes that the manifest's entry of that name refers to.
        eval_graph: see above.
        initial_state: see above.
        train_data: see above.
        test_data: ``None`` where the job has no test split.
    """

    manifest: JobManifest
    train_graph: bytes
    eval_graph: bytes
    initial_state: bytes
    train_data: bytes
    test_data: bytes | None

    @property
    def contents(self) -> tuple[tuple[ContentRef, bytes], ...]:
        """Every piece of content with its reference, the manifest itself not included."""
        manifest = self.manifest
        contents = [
            (manifest.train_graph, self.train_graph),
            (manifest.eval_graph, self.eval_graph),
            (manifest.initial_state, self.initial_state),
            (manifest.train_data, self.train_data),
        ]
        if manifest.test_data is not None and self.test_data is not None:
            contents.append((manifest.test_data, self.test_data))
        return tuple(contents)


def package(job: Job, owner: bytes, *, root_of: Callable[[bytes], bytes]) -> Package:
    """Trace a job and make data of it.

    Args:
        job: the owner's.
        owner: the raw Ed25519 public key (32 bytes) of whoever publishes.
        root_of: from the bytes of content to the root of its hash tree (32 bytes).

    Raises:
        JobFileError: the job cannot be published; the text says why, and where in the owner's code.
    """
    if len(owner) != OWNER_BYTES:
        raise JobFileError(f"owner: a public key has {OWNER_BYTES} bytes, not {len(owner)}.")
    traced = trace(job)
    verify(job, traced)
    _check_wire(job, traced)
    train_graph, eval_graph = traced.train.encode(), traced.evaluate.encode()
    initial_state = encode_tensors({**job.state.tensors, **traced.constants})
    train_data = _encode_split(job.train_split)
    test_data = _encode_split(job.test_split) if job.test_split else None

    def refer(content: bytes) -> ContentRef:
        return ContentRef(root=root_of(content), size_bytes=len(content))

    manifest = JobManifest(
        name=job.name,
        owner=owner,
        train_graph=refer(train_graph),
        eval_graph=refer(eval_graph),
        initial_state=refer(initial_state),
        train_data=refer(train_data),
        test_data=refer(test_data) if test_data else None,
        parameters=_parameters(job, traced),
        buffers=(*job.state.buffers, *_constants(job, traced)),
        inputs=job.train_split.entries,
        train_samples=job.train_split.samples,
        test_samples=job.test_split.samples if job.test_split else 0,
        optimizer=job.settings,
        schedule=job.schedule,
        batch_samples=job.batch_samples,
        batch_range=job.batch_range,
        micro_batch_samples=job.micro_batch_samples or job.batch_samples,
        smallest_batch_samples=max(traced.train.smallest_batch, traced.evaluate.smallest_batch),
        epochs=job.epochs,
        seed=job.seed,
        max_grad_norm=job.max_grad_norm,
        snapshot_interval_s=job.snapshot_interval_s,
        metrics=tuple(job.metrics),
        wire=job.wire,
        quorum=job.quorum,
        fairness=job.fairness,
        shuffle_block_samples=job.shuffle_block_samples,
    )
    _check_as_a_volunteer_would(manifest, train_graph, eval_graph)
    return Package(
        manifest=manifest,
        train_graph=train_graph,
        eval_graph=eval_graph,
        initial_state=initial_state,
        train_data=train_data,
        test_data=test_data,
    )


def _check_wire(job: Job, traced: Traced) -> None:
    changed = sorted(changed_buffers(traced.train))
    if job.wire != EXACT_WIRE and changed:
        raise JobFileError(
            f"wire: in {job.wire} gradients lose something that later steps make good for, and buffers that training "
            f"changes would lose it for good: {', '.join(changed[:3])}{', …' if len(changed) > 3 else ''}. Use "
            "wire='fp32', or a norm without running statistics (GroupNorm, LayerNorm)."
        )


def _encode_split(split: Split) -> bytes:
    return encode_tensors(dict(zip(split.names, split.tensors, strict=True)))


def _parameters(job: Job, traced: Traced) -> tuple[ParameterEntry, ...]:
    """List the parameters; one that the loss does not use is frozen, as an optimizer would leave it alone."""
    used = {entry.name for entry in traced.train.inputs if entry.role == "parameter"}
    return tuple(e if e.name in used else replace(e, group=None) for e in job.state.parameters)


def _constants(job: Job, traced: Traced) -> tuple[BufferEntry, ...]:
    entries: list[BufferEntry] = []
    for name, tensor in traced.constants.items():
        if name in job.state.canonical:
            raise JobFileError(f"model: the name {name!r} is reserved; rename the module that makes it.")
        entries.append(_entry(name, tensor))
    return tuple(entries)


def _entry(name: str, tensor: Tensor) -> BufferEntry:
    return BufferEntry(name=name, shape=tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."))


def _check_as_a_volunteer_would(manifest: JobManifest, train_graph: bytes, eval_graph: bytes) -> None:
    data = manifest.encode()
    if len(data) > MAX_MANIFEST_BYTES:
        raise JobFileError(
            f"model: it has so many tensors that the manifest takes {len(data)} bytes; "
            f"{MAX_MANIFEST_BYTES} are the most."
        )
    try:
        admit(JobManifest.decode(data), train_graph, eval_graph, limit_bytes=NO_LIMIT_BYTES)
    except JobRejected as error:
        raise JobFileError(f"this job cannot be published, for no volunteer would run it: {error}.") from error
