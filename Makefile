.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
LOCK := requirements-dev.lock
COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet
PAGE := demand_forecast/service/page
GENERATOR := demand_forecast_tests/service/http/client_generator
INSTALLED := $(VENV)/.installed
unexport PYTHONDONTWRITEBYTECODE  # what a test process compiles, the next one need not
PYTEST := $(BIN)/pytest -n 3 --dist worksteal  # one more than two cores: tests wait for browsers, servers and commands

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## the environment in .venv: uv, locked versions

$(INSTALLED): $(LOCK) pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r $(LOCK)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/demand-forecast init
	@touch $@

run: install  ## the main job on the sample retailer (or on CONFIG=…): from raw sales to a served forecast
	$(BIN)/demand-forecast run $(if $(CONFIG),--config $(CONFIG))

test: install tools  ## lint, types, architecture rules and the tests, side by side, in six minutes
	@$(MAKE) --no-print-directory --jobs=2 lint unit

lint: install  ## style, types and architecture rules alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

unit: install  ## the tests alone, without those that take longer (ARGS="--durations=10")
	$(PYTEST) -m "not slow" $(ARGS)

slow: install tools  ## the tests that take longer: whole nights in processes, a month, what installs something
	$(PYTEST) -m slow $(ARGS)

faults: install  ## nights killed at random moments: KILLS=50, SEED=2026
	$(BIN)/python -m demand_forecast_tests.faults.kills --kills $(or $(KILLS),50) --seed $(or $(SEED),2026)

fuzz: install  ## requests made up from the API's description: EXAMPLES=2000 of each path, SEED=1
	FUZZ_EXAMPLES=$(or $(EXAMPLES),2000) FUZZ_SEED=$(or $(SEED),1) $(BIN)/pytest -s demand_forecast_tests/service/http/test_openapi.py

tools:
	@for tool in chromium postgresql wrk; do \
		command -v $$tool >/dev/null || ls -d /usr/lib/$$tool/*/bin >/dev/null 2>&1 \
			|| (apt-get update -qq && apt-get install -y -qq $$tool) >/dev/null 2>&1 \
			|| echo "$$tool is not here and cannot be installed: the tests that need it will be skipped"; \
	done

ui: install  ## the Dagster web UI on http://127.0.0.1:3000
	$(BIN)/dagster dev

serve: install  ## the champion as a web service on http://127.0.0.1:3001
	set -a && . ./.env && exec $(BIN)/bentoml serve

lock:  ## choose newer versions and write them to the lock file
	$(COMPILE) --extra postgres --upgrade -o requirements.lock
	$(COMPILE) --extra postgres --group dev --upgrade --constraint requirements.lock -o $(LOCK)
	$(subst pyproject.toml,$(GENERATOR).in,$(COMPILE)) --upgrade -o $(GENERATOR).txt
	for name in requirements requirements-autogluon; do $(subst pyproject.toml,benchmarks/$$name.in,$(COMPILE)) --upgrade -o benchmarks/$$name.txt; done

peers: install  ## the environment of the benchmarks' peers, in benchmarks/.venv
	$(call environment,peers,benchmarks/requirements.txt)

autogluon: install  ## the same for AutoGluon: 8 GB
	$(call environment,autogluon,benchmarks/requirements-autogluon.txt)

define environment
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python benchmarks/.venv/$(1)
	$(BIN)/uv pip install --quiet --python benchmarks/.venv/$(1)/bin/python --require-hashes -r $(2)
endef

vendor:  ## fetch the planner page's chart library again, as its package-lock.json says: needs npm
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
		&& cp $(PAGE)/package.json $(PAGE)/package-lock.json $(PAGE)/.npmrc "$$folder" && npm ci --silent --prefix "$$folder" \
		&& cp "$$folder"/node_modules/uplot/{dist/uPlot.iife.min.js,dist/uPlot.min.css,LICENSE} $(PAGE)/vendor

clean:  ## remove what the product wrote: models, tables, reports
	rm -rf .demand_forecast

month: install  ## thirty nights against the Dagster daemon, with what goes wrong in them (about half an hour)
	$(BIN)/python -m demand_forecast_tests.month --out docs/month.md

.PHONY: help vendor install run test lint unit slow month faults tools ui serve lock peers autogluon clean
