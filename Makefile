# make run    install, then the main job: energy to accuracy over batch sizes
# make test   install, then what CI runs: format, lint, types, tests
# make check  the same checks in the environment that is active now
# make torture  install, then 200 kills of a tiny sweep at random instants; hours
# make bench-check  JAX against PyTorch: has it lost? On a machine at rest
#
# make hashes  writes hashes.txt anew from constraints.txt; needs uv
#
# HASHES=1 installs first, of all but CUDA and PyTorch, only files whose SHA-256
# is in hashes.txt
# TORCH=2.13.0 installs that version of PyTorch too, for the PyTorch wing.
# CUDA=13, 12 or none decides for which CUDA JAX is installed; by default the
# NVIDIA driver does, and `make run` then trains in the size of a GPU.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?=
CONFIG ?= configs/batch.py:auto
TORCH ?=
HASHES ?=
CUDA = auto
KILLS ?= 200

.PHONY: run test check torture bench-check install hashes clean FORCE

run: $(VENV)/installed
	@$(BIN)/python scripts/run.py --config=$(CONFIG) $(if $(OUT),--out=$(OUT))

test: $(VENV)/installed-dev
	@$(MAKE) --no-print-directory check BIN=$(BIN)/

torture: $(VENV)/installed-dev
	@PYTHONPATH=. $(BIN)/python benchmarks/torture.py --kills=$(KILLS)

bench-check: $(VENV)/installed-dev
	@$(BIN)/python benchmarks/throughput.py --networks=cnn,vit --batches=128 \
	  --arms=jax,torch --rounds=3 --against=benchmarks/throughput_cpu.json

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

# What is there with its hash is not downloaded again; setuptools is among it,
# so nothing is built with another one (pip's switch of this name is 0 for none).
ifneq ($(HASHES),)
export PIP_NO_BUILD_ISOLATION := 0
$(VENV)/installed $(VENV)/installed-dev: $(VENV)/hashed
endif

$(VENV)/hashed: hashes.txt | $(VENV)/bin/python
	@echo 'installing what hashes.txt has into $(VENV), once'
	@$(BIN)/pip install --quiet --require-hashes --requirement hashes.txt
	@touch $@

hashes:
	@uv pip compile pyproject.toml .ci/build.txt --extra dev --universal \
	  --python-version 3.11 --constraint constraints.txt --generate-hashes \
	  --no-annotate --no-header --quiet --output-file hashes.txt

# Which CUDA; a new date only where it is another one, and then all is installed.
$(VENV)/cuda: FORCE | $(VENV)/bin/python
	@$(BIN)/python scripts/install.py --cuda=$(CUDA) --note=$@

$(VENV)/installed: pyproject.toml constraints.txt $(VENV)/cuda
	@echo 'installing jaxpower into $(VENV), once; this takes a minute or two'
	@$(BIN)/python scripts/install.py --cuda=$(CUDA) --extra=train
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt $(VENV)/cuda
	@echo 'installing jaxpower and its checks into $(VENV), once'
	@$(BIN)/python scripts/install.py --cuda=$(CUDA) --extra=dev --torch=$(TORCH)
	@touch $@ $(VENV)/installed

FORCE:

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
