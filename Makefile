# What people do here. Each target does all of its own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 3000
RUN := .venv/bin/python
STAMP := .venv/installed.stamp

export DAGSTER_HOME := $(CURDIR)/dagster_home
# Byte code is written once, at install; without it every process that imports Dagster loses seconds.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env demo ui test lint bench lock clean

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

env: $(STAMP)  ## set up .venv with everything, from locked and hashed requirements
	@echo "The environment is in .venv; next: make demo"

demo: $(STAMP)  ## the main job, from a raw crawl to a benchmark score, on real audio
	@$(RUN) -m wavcaps_assets.demo run

ui: $(STAMP)  ## the web UI on what the demo made (PORT=3000)
	@$(RUN) -m wavcaps_assets.demo ui --port $(PORT)

test: lint  ## linters, types and tests
	$(RUN) -m pytest tests
	@echo "All tests passed. To see the pipeline work: make demo"

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/lint-imports --no-cache
	$(RUN) -m mypy wavcaps_assets wavcaps_training tests benchmarks

bench: $(STAMP)  ## every benchmark, ours beside its peer
	@for file in $$(grep -l "^def main" benchmarks/*.py); do $(RUN) -m benchmarks.$$(basename $$file .py); done

lock: .cache/uv/bin/uv  ## lock the dependencies of pyproject.toml anew
	@for set in "assets:" "all:--extra demo --extra training --extra ray --extra kubernetes --extra dev"; do \
	  .cache/uv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	    --python-version 3.11 pyproject.toml $${set#*:} --output-file requirements/$${set%%:*}.txt; \
	done

clean:  ## remove what the demo made; the environment and the downloads stay
	rm -rf dagster_home/store dagster_home/storage dagster_home/history dagster_home/schedules \
	  dagster_home/logs dagster_home/cuda_devices dagster_home/.[a-z]*

.cache/uv/bin/uv: requirements/uv.txt
	@echo "Setting up uv, which installs everything else"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11 or newer is wanted; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .cache/uv || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@.cache/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(STAMP): requirements/all.txt | .cache/uv/bin/uv
	@echo "Installing the locked requirements into .venv (some 5 GB with torch's CUDA libraries)"
	@test -x $(RUN) || .cache/uv/bin/uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@VIRTUAL_ENV=$(CURDIR)/.venv .cache/uv/bin/uv pip sync --require-hashes requirements/all.txt
	@touch $@
