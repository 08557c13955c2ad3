# The commands of this project. Each target sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The interpreter of .venv. Without a name, uv takes one that pyproject.toml allows, or downloads it.
PYTHON ?=
PORT ?= 3000
WORKERS ?= 2
RUN := .venv/bin/python
STAMP := .venv/installed.stamp
NEEDED := $(shell sed -nE 's/^requires-python = "(.*)"/\1/p' pyproject.toml)
SUITABLE := $(shell sed -nE 's/^requires-python = ">=3\.([0-9]+),<3\.([0-9]+)"/(3, \1) <= sys.version_info < (3, \2)/p' pyproject.toml)
TYPED := wavcaps_assets wavcaps_training tests benchmarks examples

# Byte code is written once, at install; without it every process that imports Dagster loses seconds.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

# Tests run in WORKERS processes with one thread each; a file's tests stay in one process. Those marked
# `alone` need the machine for themselves and run afterwards.
PARALLEL := OMP_NUM_THREADS=1 $(RUN) -m pytest tests -n $(WORKERS) --dist loadfile
ALONE := $(RUN) -m pytest tests

.PHONY: help env demo demo-sound ui test check soak lint fix bench lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

env: $(STAMP)  ## set up .venv with everything, from locked and hashed requirements
	@echo "The environment is in .venv; next: make demo"

demo: $(STAMP)  ## the main job, from a raw crawl to a benchmark score, on real audio
	@.venv/bin/wavcaps demo

demo-sound: $(STAMP)  ## after make demo: text to sound, from spectrograms to sounds in the report
	@.venv/bin/wavcaps demo --sound

ui: $(STAMP)  ## the web UI on the results of the demo, or on live sources if WAVCAPS_SOURCES=live (PORT=3000)
	@.venv/bin/wavcaps ui --port $(PORT)

test: lint  ## linters, types and all tests, some 20 minutes on 2 cores
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
	@for set in "assets:" "team:--extra team" \
	    "training:--extra training --extra ray --extra kubernetes" "all:--extra demo --extra training --extra ray --extra kubernetes --extra dev"; do \
	  .cache/uv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	    --python-version 3.11 pyproject.toml $${set#*:} --output-file requirements/$${set%%:*}.txt; \
	done

clean:  ## remove the results of the demo; live stores, the environment and the downloads stay
	rm -rf dagster_home/demo

# uv is a program of its own: any Python that makes virtual environments can install it.
.cache/uv/bin/uv: requirements/uv.txt
	@echo "Setting up uv, which installs everything else"
	@tried="$(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)"; \
	for python in $$tried; do $$python -m venv .cache/uv > /dev/null 2>&1 && exit 0; done; \
	echo "None of these is here and can make virtual environments: $$tried. Install Python $(NEEDED) with venv"; \
	echo "(Debian, Ubuntu: apt-get install python3-venv), or name one: make PYTHON=/path/to/python3.12"; exit 1
	@.cache/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt || \
	  { echo "uv could not be installed by $$(.cache/uv/bin/python --version); name a newer one: make PYTHON=python3.12"; exit 1; }
	@touch $@

# The project itself is installed too, editable: for the command `wavcaps` and its subcommands.
# Of uv's lines, those on large downloads and errors are shown, and not those that only name a package.
$(STAMP): requirements/all.txt pyproject.toml | .cache/uv/bin/uv
	@suits() { "$$@" -c 'import sys; sys.exit(not $(SUITABLE))' 2> /dev/null; }; \
	suits $(RUN) || if [ -n "$(PYTHON)" ] && ! suits "$(PYTHON)"; then \
	  echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); needed is Python $(NEEDED). Name another, or none: make PYTHON="; exit 1; \
	else \
	  .cache/uv/bin/uv venv --quiet --clear --python-preference system $(if $(PYTHON),--python "$(PYTHON)") .venv || \
	    { echo "There is no Python $(NEEDED) here. Install one, or name it: make PYTHON=/path/to/python3.12"; exit 1; }; \
	fi
	@echo "Installing the locked requirements into .venv, for $$($(RUN) --version) (some 5 GB with torch's CUDA libraries)"
	@VIRTUAL_ENV=$(CURDIR)/.venv .cache/uv/bin/uv pip sync --require-hashes requirements/all.txt 2>&1 | \
	  { grep --line-buffered -vE '^ [-+~] |^ *Downloaded |^Downloading .*(KiB|\([0-9.]{1,4}MiB)\)' || true; }
	@VIRTUAL_ENV=$(CURDIR)/.venv .cache/uv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
