# `make` prints what there is. Everything runs in .venv, which is made at the first use.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WEB := services/verification/entrypoints/web
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/pytest -q

# Those of O-12 that there are, in the order in which they run.
BENCHES := $(filter $(basename $(notdir $(wildcard tests/perf/*.py))), \
	sink end_to_end evaluator live_latency what_if metering close_period rating pages memory)

.PHONY: help venv assets servers kernels check test test-docker chaos mutants bench demo up down

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## the Python environment in .venv, with every dependency by hash

$(STAMP): requirements/dev.txt pyproject.toml deploy/local/venv.sh
	@deploy/local/venv.sh $(PYTHON) $(VENV)
	@touch $@

assets: ## the JavaScript of the pages (needs npm once); without it the pages work but for their curves
	@deploy/local/assets.sh $(WEB)

servers: venv ## Kafka and TimescaleDB in the cache
	@$(BIN)/python -m deploy.local.install

kernels: venv ## the evaluator's loops, compiled into the cache: half a minute once
	@$(BIN)/python -c 'from services.verification.adapters.worker.warming import warm_up; warm_up()'

check: kernels ## format, lint, types, imports, hosts and secrets, unit, property and contract tests: about two minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m deploy.checks.committed
	$(PYTEST) -n 2 tests/unit tests/property tests/contract

test: kernels assets servers ## every test that needs no Docker, on real Kafka and TimescaleDB: about nine minutes on two cores
	$(PYTEST) -n 2 --dist loadfile -m "not docker and not slow and not chaos" tests

test-docker: venv ## the tests that need a Docker engine, and the servers' tests in containers
	deploy/docker/run-tests.sh

chaos: kernels servers ## processes and servers killed at random, with a ledger of every record
	$(PYTEST) -m chaos tests/chaos

mutants: venv ## breaks each operator of the evaluator on purpose and shows that a test fails: about a quarter of an hour
	$(BIN)/python -m tests.mutation

bench: kernels servers ## every benchmark and docs/performance.md, or one: make bench NAME=sink
ifdef NAME
	@$(BIN)/python -m tests.perf.$(NAME)
else
	@for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python -m tests.perf.$$bench || exit 1; done
	@$(BIN)/python -m tests.perf.page
endif

demo: venv assets ## everything set up, then eleven recorded runs with trouble on purpose; leaves nothing running
	@$(BIN)/pilotline demo

up: venv assets ## servers and all processes in the background
	@$(BIN)/pilotline up --detach

down: ## ends what `make up` started
	@if [ -x $(BIN)/pilotline ]; then $(BIN)/pilotline down; else echo 'nothing is installed, so nothing runs'; fi
