# Every command makes what it needs first: a virtual environment with the pinned versions of constraints.txt.
PYTHON ?= python3
HOST =
PORT =
ARTIFACTS =
DATA ?= twitter_training.csv
OUTPUT ?= runs/default
BIN := .venv/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

.PHONY: serve
serve: .venv/serve.stamp ## Serve the committed model (HOST=127.0.0.1 PORT=8000 ARTIFACTS=artifacts)
	$(BIN)/python -m service serve $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(if $(ARTIFACTS),--artifacts $(ARTIFACTS))

.PHONY: test
test: .venv/dev.stamp ## Run all tests, the style checks and the README's examples
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: lint
lint: .venv/dev.stamp ## Run ruff, mypy and the import contracts alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: train
train: .venv/teacher.stamp ## Train the committed model anew (DATA=twitter_training.csv OUTPUT=runs/default)
	$(BIN)/python -m training fit $(DATA) --preset default --output $(OUTPUT)

.PHONY: bench
bench: .venv/bench.stamp ## Measure what a trace costs, and the service beside other servers (needs wrk; 10 minutes)
	$(BIN)/python -m benchmarks.trace
	$(BIN)/python -m benchmarks.forms
	$(BIN)/python -m benchmarks.serving

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "charlstm needs Python 3.11 or later, and this is %d.%d: name another one with PYTHON=" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv

.venv/%.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[serve,$*]'
	@touch .venv/serve.stamp $@
