# Needs Python 3.11 or newer and a package registry. `make help` lists the targets.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := src tests $(wildcard benchmarks) $(wildcard scripts)

.DEFAULT_GOAL := help
.PHONY: help install demo up cluster test chaos check fix bench constraints

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Set up .venv; does nothing when nothing changed

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; name one with PYTHON=…" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	@touch $@

demo: install ## Train a model on generated data and watch it (DEMO_EXIT=1: stop after the table, DEMO_KEEP=1: stay)
	@$(BIN)/heimdall demo $(if $(DEMO_EXIT),--exit) $(if $(DEMO_KEEP),--keep)

up: install ## Start the service on http://127.0.0.1:8001
	@$(BIN)/heimdall up

cluster: install ## Start two API processes and two workers on the PostgreSQL and RabbitMQ of this machine
	@$(BIN)/python -m tests.services.cluster

test: install ## Run all tests this machine can run, two at a time (ARGS=… goes to pytest; -n 0: one at a time)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

chaos: install ## Break each part of a cluster ten times, disturb 36 jobs at random, compare with jobs left alone (an hour)
	HEIMDALL_FAULT_ROUNDS=10 HEIMDALL_FAULT_RESULTS=benchmarks/results/faults.json \
		$(BIN)/python -m pytest tests/services/test_faults.py $(ARGS)
	HEIMDALL_CHAOS_SCHEDULES=30 HEIMDALL_CHAOS_RESULTS=benchmarks/results/chaos.json \
		$(BIN)/python -m pytest tests/chaos tests/worker/test_dataset_kills.py $(ARGS)

check: install ## Lint, formatting, types, layers
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/pyright
	$(BIN)/lint-imports

fix: install ## Repair what ruff can repair
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: install ## Measure against the named peers and limits (minutes)
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

constraints: ## Pin what a fresh install without pins brings
	rm -rf $(VENV)-fresh
	$(PYTHON) -m venv $(VENV)-fresh
	$(VENV)-fresh/bin/python -m pip install --quiet 'pip>=25.1'
	$(VENV)-fresh/bin/python -m pip install --quiet --editable . --group dev
	{ head -1 constraints.txt; $(VENV)-fresh/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9]*$$//'; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-fresh
