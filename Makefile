# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEFAULT := not slow and not gpu and not slurm and not postgres and not browser
WORKERS ?= 2
# A thread a worker: small networks are slower with more, and two workers with two threads each wait for one another.
test test-all test-web: export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-all lint format ui api test-web bench-web chromium clean

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

ui: web/node_modules/.package-lock.json  ## the web page, into src/whet/web: needs Node 20.19 or later
	cd web && npm run build

api: web/node_modules/.package-lock.json $(VENV)/.web  ## the page's types, from what the server says of itself
	$(BIN)/python web/scripts/describe.py
	cd web && npm run api

test-web: chromium ui $(VENV)/.web  ## the page: its types, its own tests, the wheel, and every page in Chromium
	cp web/src/api/schema.d.ts web/.test-schema.d.ts
	$(MAKE) --no-print-directory api
	@cmp -s web/.test-schema.d.ts web/src/api/schema.d.ts; same=$$?; rm -f web/.test-schema.d.ts; \
	  [ $$same = 0 ] || { echo 'web/src/api/schema.d.ts was out of date and is made anew: commit it' >&2; exit 1; }
	cd web && npm test
	$(BIN)/python -m pytest -m browser tests/web -rs --durations 5

bench-web: chromium ui $(VENV)/.web-bench  ## the page's first load, first paint and scrolling, beside optuna-dashboard
	$(BIN)/python -m benchmarks.web

chromium:
	@for one in chromium chromium-browser google-chrome; do command -v $$one >/dev/null && exit 0; done; \
	  { echo 'the page is tested in Chromium, which is not here: apt-get install chromium' >&2; exit 1; }

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); if (a < 20 || (a === 20 && b < 19)) { console.error("the page is built with Node 20.19 or later, this is " + process.versions.node); process.exit(1) }'
	cd web && npm ci

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

# Neither torch nor the other developers' tools: a page is tested with the server alone.
$(VENV)/.web: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -q -c constraints.txt -e ".[browser]"
	touch $@

$(VENV)/.web-bench: $(VENV)/.web
	$(PIP) install -q -c constraints.txt -e ".[browser,bench-web]"
	touch $@

clean:
	rm -rf $(VENV) web/node_modules web/.test src/whet/web .mypy_cache .ruff_cache .pytest_cache dist build
