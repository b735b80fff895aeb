# Everything runs in .venv; nothing needs root, a GPU or a network service.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DURATION ?= 120
SEED ?= 1
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench kafka dashboards reference screenshots clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is missing: apt-get install python3.11 python3.11-venv (or set PYTHON=)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@touch $@

setup: $(STAMP) ## Set up the virtual environment

demo: $(STAMP) ## Watch the daemon find faults in a simulated experiment (DURATION=60 SEED=1)
	@$(BIN)/shiftwatch demo --duration-s $(DURATION) --seed $(SEED)

test: $(STAMP) ## Run the tests; what a missing server leaves out is named at the end
	$(BIN)/pytest -n 2 --dist loadfile

check: $(STAMP) ## Lint, type-check, check the import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## Measure the figures in docs (needs Java and Maven for Kafka)
	@for name in $$($(BIN)/python -m benchmarks); do $(BIN)/python -m benchmarks.$$name || exit 1; done

kafka: $(STAMP) ## Run an Apache Kafka broker on 127.0.0.1:9092 (needs Java and Maven)
	$(BIN)/python -m deploy.kafka.broker

dashboards: $(STAMP) ## Write the Grafana dashboards and Prometheus rules anew, where their code has changed
	$(BIN)/python -m dashboards
	$(BIN)/python -m deploy.kubernetes.rules

reference: $(STAMP) ## Write collectors/README.md anew, from the options and docstrings of the collectors
	$(BIN)/python -m daemon.reference

screenshots: $(STAMP) ## Take the pictures of the page from a running demo (needs Chromium)
	$(BIN)/python docs/pictures/screenshots.py

clean: ## Remove the virtual environment and all that was built
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .kafka
