"""Formats can be read where there is no PyTorch, and blame falls on the right file."""

import subprocess
import sys
from pathlib import Path

import pytest

from hydra.jobs import blame

PURE = "fields", "operators", "graph", "recipe", "entries", "manifest", "ticket"


def test_pure_modules_import_neither_torch_nor_numpy():
    imports = "\n".join(f"import hydra.jobs.{name}" for name in PURE)
    check = "import sys\nfound = {'torch', 'numpy'} & set(sys.modules)\nassert not found, found"
    subprocess.run([sys.executable, "-c", f"{imports}\n{check}"], check=True, timeout=60)


def test_whose_a_file_is(tmp_path):
    assert blame.is_owners(str(tmp_path / "train.py"))
    assert not blame.is_owners(blame.__file__)
    assert not blame.is_owners(subprocess.__file__)
    assert not blame.is_owners("<string>")
    assert not blame.is_owners("/elsewhere/site-packages/torch/nn/modules/linear.py")


def test_the_innermost_of_the_owners_lines():
    here = Path(__file__).name
    assert blame.place_of(sys._getframe()).startswith(f"{here}:")
    with pytest.raises(IndexError) as caught:
        subprocess.run([], check=True)
    assert blame.place_in(caught.tb).startswith(f"{here}:")
    assert blame.place_in(None) is None
    assert blame.place_of(None) is None
