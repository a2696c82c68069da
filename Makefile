# Every target sets up what it needs. VENV may stand anywhere: make test VENV=/somewhere/else

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
# The environment is made anew when what it is made from changes.
STAMP := $(VENV)/.made-from-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
# One more than there are cores: tests of Ray wait more than they compute.
JOBS ?= $(shell expr 1 + `getconf _NPROCESSORS_ONLN`)
FAST := not slow and not ray and not gpu

.PHONY: help setup sweep test test-all check lint bench clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

sweep: setup  ## run the default sweep (spoken digits, a few minutes); options: ARGS=--restart
	$(RUN)/tuneprune sweep search_spaces/quickstart.yaml $(ARGS)

test: setup lint  ## lint, types and the tests
	$(RUN)/python -m pytest --durations=10 -n $(JOBS) -m 'not thorough'

test-all: setup lint  ## the same with every case of the slow ones
	$(RUN)/python -m pytest --durations=10 -n $(JOBS)

check: setup lint  ## lint, types and the fast tests
	$(RUN)/python -m pytest -n $(JOBS) -m '$(FAST)'

bench: setup  ## measure what design and README promise, each against its baseline; ARGS=--quick
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(RUN)/python tests/benchmarks/run.py $(ARGS)

lint: setup
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy tuneprune

setup: $(STAMP)  ## make the environment, once

$(STAMP):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade pip
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[export,synth,test]'
	rm -f $(VENV)/.made-from-*
	touch $@

clean:  ## remove the environment
	rm -rf $(VENV)
