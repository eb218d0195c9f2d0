# Interlock: `make help` lists what can be done.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SANDBOX := PYTHONPATH=. $(BIN)/python -m sandbox

.PHONY: help env lock check test soak bench bench-trains bench-evidence demo sandbox status doctor ship stop clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(READY) ## Make the Python environment from the lock

$(READY): requirements.txt pyproject.toml
	@echo "environment: installing $$(grep -c '==' requirements.txt) pinned packages into $(VENV) …"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Interlock needs Python 3.11 to 3.13, this is {sys.version.split()[0]}: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements.txt)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lock: $(READY) ## Remake requirements.txt from requirements.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 requirements.in --output-file requirements.txt

check: $(READY) ## Format, lint, types, import contracts, unit and DAG tests (under 2 minutes)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 -m "not sandbox" tests

test: $(READY) ## The whole suite, in a sandbox of its own
	$(BIN)/pytest -q -n 2 -m "not sandbox" tests
	$(BIN)/pytest -m sandbox tests

soak: $(READY) ## Kill 64 evidence writers again and again, on a failing store (ROUNDS=10000, SEED=…; hours)
	ROUNDS=$(or $(ROUNDS),10000) SEED=$(SEED) $(BIN)/pytest -q -m sandbox tests/clients/test_log_soak.py

bench: bench-trains bench-evidence ## Measure trains, then the evidence log, into docs/benchmarks.md

bench-trains: $(READY) ## Measure trains of 3 to 200 services, in a sandbox of their own (BENCH="--sizes 3,12")
	PYTHONPATH=. $(BIN)/python -m benchmarks --results benchmarks/results/latest.json --markdown docs/benchmarks.md $(BENCH)

bench-evidence: $(READY) ## Measure the evidence log, with a store and a Vault of its own (minutes)
	PYTHONPATH=. $(BIN)/python -m benchmarks evidence --results benchmarks/results/evidence.json --markdown docs/benchmarks.md

demo: $(READY) ## Bring the sandbox up, run trains that arrive, go back and are refused, and verify their evidence
	$(SANDBOX) up
	$(SANDBOX) demo

sandbox: $(READY) ## Bring the sandbox up (Kubernetes, Vault, S3, Prometheus, Airflow), without the demo
	$(SANDBOX) up

status: $(READY) ## Say what of the sandbox runs, and where
	$(SANDBOX) status

doctor: $(READY) ## Try each connection and right that Interlock needs
	@set -a; . $${INTERLOCK_SANDBOX:-.sandbox}/env && $(BIN)/interlock doctor

ship: $(READY) ## Carry what waits in the spool to the evidence store now
	@set -a; . $${INTERLOCK_SANDBOX:-.sandbox}/env && $(BIN)/interlock ship

stop: $(READY) ## Stop the sandbox; its data stay
	$(SANDBOX) stop

clean: $(READY) ## Stop the sandbox and delete its data
	$(SANDBOX) clean
