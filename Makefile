# make run    install, then the main job: energy to accuracy over batch sizes
# make test   install, then what CI runs: format, lint, types, tests
# make check  the same checks in the environment that is active now
# make torture  install, then 200 kills of a tiny sweep at random instants; hours
#
# TORCH=2.13.0 installs that version of PyTorch too, for the PyTorch wing

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs/batch
TORCH ?=
KILLS ?= 200

.PHONY: run test check torture install clean

run: $(VENV)/installed
	@$(BIN)/python scripts/run.py --config=configs/batch.py --out=$(OUT)

test: $(VENV)/installed-dev
	@$(MAKE) --no-print-directory check BIN=$(BIN)/

torture: $(VENV)/installed-dev
	@PYTHONPATH=. $(BIN)/python benchmarks/torture.py --kills=$(KILLS)

install: $(VENV)/installed-dev

check: BIN ?=
check:
	$(BIN)ruff format --check .
	$(BIN)ruff check .
	$(BIN)pyright --pythonpath "$$($(BIN)python -c 'import sys; print(sys.executable)')"
	$(BIN)python -m pytest

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'jaxpower needs Python 3.11 or newer: make PYTHON=python3.12'; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'installing jaxpower into $(VENV), once; this takes a minute or two'
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'installing jaxpower and its checks into $(VENV), once'
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@[ -z '$(TORCH)' ] || $(BIN)/pip install --quiet torch==$(TORCH)
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
