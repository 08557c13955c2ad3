# The commands of this project. Each target sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 3000
WORKERS ?= 2
RUN := .venv/bin/python
STAMP := .venv/installed.stamp
TYPED := wavcaps_assets wavcaps_training tests benchmarks examples

# Byte code is written once, at install; without it every process that imports Dagster loses seconds.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

# Tests run in WORKERS processes with one thread each; a file's tests stay in one process. Those marked
# `alone` need the machine for themselves and run afterwards.
PARALLEL := OMP_NUM_THREADS=1 $(RUN) -m pytest tests -n $(WORKERS) --dist loadfile
ALONE := $(RUN) -m pytest tests

.PHONY: help env demo ui test check soak lint fix bench lock clean

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

env: $(STAMP)  ## set up .venv with everything, from locked and hashed requirements
	@echo "The environment is in .venv; next: make demo"

demo: $(STAMP)  ## the main job, from a raw crawl to a benchmark score, on real audio
	@.venv/bin/wavcaps demo

ui: $(STAMP)  ## the web UI on the results of the demo, or on live sources if WAVCAPS_SOURCES=live (PORT=3000)
	@.venv/bin/wavcaps ui --port $(PORT)

test: lint  ## linters, types and all tests, at most 15 minutes on 2 cores
	$(PARALLEL) -m "not alone and not soak"
	$(ALONE) -m "alone and not soak"
	@echo "All tests passed. To see the pipeline work: make demo"

check: lint  ## linters, types and the fast tests, at most 3 minutes on 2 cores
	$(PARALLEL) -m "not slow and not alone and not soak"

soak: $(STAMP)  ## long scenarios
	$(ALONE) -m soak --timeout=7200

lint: $(STAMP)  ## linters, import directions and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/lint-imports --no-cache --no-logo
	$(RUN) -m mypy $(TYPED)

fix: $(STAMP)  ## fix what ruff can fix, and format
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(STAMP)  ## every benchmark, each against a peer or a limit
	@failed=""; for file in $$(grep -l "^def main" benchmarks/*.py); do name=$$(basename $$file .py); \
	  echo "== $$name"; $(RUN) -m benchmarks.$$name || failed="$$failed $$name"; done; \
	  [ -z "$$failed" ] || { echo "Beyond their limits:$$failed"; exit 1; }

lock: .cache/uv/bin/uv  ## lock the dependencies of pyproject.toml again
	@for set in "assets:" "all:--extra demo --extra training --extra ray --extra kubernetes --extra dev"; do \
	  .cache/uv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	    --python-version 3.11 pyproject.toml $${set#*:} --output-file requirements/$${set%%:*}.txt; \
	done

clean:  ## remove the results of the demo; live stores, the environment and the downloads stay
	rm -rf dagster_home/demo

.cache/uv/bin/uv: requirements/uv.txt
	@echo "Setting up uv, which installs everything else"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), and Python 3.11 or newer is needed; choose one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .cache/uv || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@.cache/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# The project itself is installed too, editable: for the command `wavcaps` and its subcommands.
$(STAMP): requirements/all.txt pyproject.toml | .cache/uv/bin/uv
	@echo "Installing the locked requirements into .venv (some 5 GB with torch's CUDA libraries)"
	@test -x $(RUN) || .cache/uv/bin/uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@VIRTUAL_ENV=$(CURDIR)/.venv .cache/uv/bin/uv pip sync --require-hashes requirements/all.txt
	@VIRTUAL_ENV=$(CURDIR)/.venv .cache/uv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
