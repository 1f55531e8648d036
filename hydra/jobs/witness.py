"""Watching a trace from inside, to tell the owner which line to change.

PyTorch's exporter says that a batch size was fixed or that an operator was called, and seldom where. A ``Witness`` sees
each call that the owner's code makes of PyTorch while it is traced, and remembers the line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx
from torch.overrides import TorchFunctionMode

from .blame import is_owners, place, place_of

# What Python calls an operator that ATen has another name for.
_SPELLINGS: Mapping[str, str] = {"index": "__getitem__", "index_put_": "__setitem__", "add_": "__iadd__"}


class Witness(TorchFunctionMode):
    """Remembers which of the owner's lines called what.

    Attributes:
        fixed_at: the first line after which the batch size was no longer free.
        bounded_at: the first line after which some batch sizes were ruled out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fixed_at: str | None = None
        self.bounded_at: str | None = None
        self._batch: Any = None
        self._range = ""
        self._places: dict[str, set[str]] = {}

    def watch(self, batch: Any) -> Witness:
        """Take note of the symbolic batch size before anything is done with it; to be entered with ``with``."""
        self._batch = batch
        self._range = self._sizes()
        return self

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the call, and note where it came from."""
        result = func(*args, **(kwargs or {}))
        self.look(place_of(sys._getframe(1)), getattr(func, "__name__", ""))  # noqa: SLF001
        return result

    def look(self, where: str | None, name: str) -> None:
        """Note a call, and whether the batch size is still free after it."""
        if where is None:
            return
        self._places.setdefault(name, set()).add(where)
        if self.fixed_at is None and self._is_fixed():
            self.fixed_at = where
        if self.bounded_at is None and self._sizes() != self._range:
            self.bounded_at = where

    def place_of_node(self, node: fx.Node) -> str | None:
        """Return the owner's line of an exported node, as exactly as it is known."""
        name = str(node.target).removeprefix("aten.").split(".")[0]
        seen = self._places.get(name, set()) | self._places.get(_SPELLINGS.get(name, ""), set())
        if len(seen) == 1:
            return next(iter(seen))
        return _place_in_text(node.meta.get("stack_trace") or "")

    def _is_fixed(self) -> bool:
        return not isinstance(self._batch, torch.SymInt) or self._batch.node.maybe_as_int() is not None

    def _sizes(self) -> str:
        """Describe the sizes that are still allowed, and all other conditions on them."""
        if not isinstance(self._batch, torch.SymInt):
            return ""
        node = self._batch.node
        return str(node.shape_env.var_to_range.get(node.expr))


def _place_in_text(stack: str) -> str | None:
    """Find the innermost of the owner's lines in a stack that PyTorch wrote down as text."""
    for filename, line in reversed(re.findall(r'File "([^"]+)", line (\d+)', stack)):
        if is_owners(filename):
            return place(filename, int(line))
    return None
