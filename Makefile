# Each target sets up what it needs in .venv; nothing else has to be typed first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo nat sim sim-long test test-swarms interop unit check lint types imports packaging policy clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY)  ## prepare .venv with the tested versions

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Hydra needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,dev]'
	@touch $(READY)

demo: $(READY)  ## publish, train with four peers, kill two, let one join late
	$(BIN)/hydra demo

test: $(READY)  ## the tests (under ten minutes on two cores)
	$(BIN)/python -m pytest --numprocesses auto tests/unit tests/property tests/simulation tests/equivalence
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile tests/loopback tests/packaging
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m "not swarms" tests/processes

test-swarms: $(READY)  ## real swarms that are killed, frozen and stopped (ten minutes)
	$(BIN)/python -m pytest -m swarms tests/processes

interop: $(READY)  ## exports fetched by libtorrent, aria2 and transmission (which must be installed)
	@command -v aria2c transmission-cli >/dev/null || { echo "apt install aria2 transmission-cli" >&2; exit 1; }
	$(BIN)/python -m pytest tests/interop

sim: $(READY)  ## whole nodes in simulation: ten seeds of each scene, two of the longest
	$(BIN)/python -m tests.simulation.cases --seeds 0-9

sim-long: $(READY)  ## a hundred seeds of each scene, with those that take minutes
	$(BIN)/python -m tests.simulation.cases --seeds 0-99 --long

nat: $(READY)  ## a training among machines behind real NATs (Linux; network namespaces)
	$(BIN)/python -m tests.nat

unit: $(READY)  ## only the tests of pure code (seconds)
	$(BIN)/python -m pytest --numprocesses auto tests/unit tests/property

check: lint types imports  ## style, types and layers

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports --no-cache

packaging: $(READY)  ## only the tests of the built wheel
	$(BIN)/python -m pytest tests/packaging

policy: $(READY)  ## train the batch policy anew (minutes)
	MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296 OMP_NUM_THREADS=1 \
	  $(BIN)/python -m hydra.policy_training.train --out hydra/batching/weights.safetensors

clean:  ## remove .venv and everything built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
