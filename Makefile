# make demo   sets everything up and runs the main job on the bundled model
# make test   sets everything up, lints, type-checks and runs the tests
#
# Both need python3 (3.11 or later) and nothing else, and create .venv in this directory.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PROBLEM := "A bus carries 15 people. 9 get on and 12 get off. How many people are on the bus now?"
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

# Dozens of processes import the same libraries: they are compiled once, whatever the shell asks.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint types suite setup coverage clean docs/cli.md
.DELETE_ON_ERROR:

# Measure the machine, compile, say what running will take, generate, show what it took.
demo: $(READY)
	$(BIN)/foreknown calibrate
	$(BIN)/foreknown compile src/foreknown/bundled -o build/demo
	$(BIN)/foreknown run build/demo --stats --prompt "Who are you?"
	$(BIN)/foreknown run build/demo --stats --prompt $(PROBLEM)
	$(BIN)/foreknown bench build/demo --quick

# Types are checked beside the tests: both take one processor for their first minute.
test: lint
	@$(MAKE) --no-print-directory -j2 types suite

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

suite: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

coverage: $(READY)
	$(BIN)/foreknown coverage --jobs 2 --markdown docs/coverage.md

setup: $(READY)

# docs/cli.md is what the parser says; a test compares.
docs/cli.md: $(READY)
	$(BIN)/python -m foreknown.cli.document > $@

# torch first and pinned: exactly this version is the processor build, others pull gigabytes.
# constraints.txt: the versions that passed last, so nobody waits for pip to find ones that agree.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "python 3.11 or later is needed; make PYTHON=/path/to/python3.11 names another"; exit 1; }
	@echo "setting up .venv: once, a few minutes"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) install --no-compile -c constraints.txt 'torch==2.13.0'
	@$(PIP) install --no-compile -c constraints.txt -e '.[compile,serve,dev]'
	@touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
