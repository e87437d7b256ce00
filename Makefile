# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEFAULT := not slow and not gpu and not slurm and not postgres and not browser
WORKERS ?= 2

.PHONY: demo test test-all lint format clean

demo: $(VENV)/.demo  ## tune a small network on real data, in about two minutes
	$(BIN)/python -m examples.digits

test: lint  ## lint, types and the default tests
	$(BIN)/python -m pytest -m "$(DEFAULT)" -n $(WORKERS) -rs

test-all: lint  ## every test that this machine can run
	$(BIN)/python -m pytest -m "not gpu and not slurm and not browser" -n $(WORKERS) -rs

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Whet needs Python 3.11 or later: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)

# torch first and by itself, at its pinned version: nothing may replace the CPU build by one that brings CUDA along.
$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	$(PIP) install -q -c constraints.txt torch
	touch $@

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e ".[demo]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache dist build
