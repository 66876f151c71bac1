# Every target is a line or two that you could type. `make help` lists them.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
APT    := apt-get install -y -qq --no-install-recommends
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Where MNIST and the pen strokes lie; without it, training downloads them and the tests that read them are skipped.
export LIVEDIGIT_DATA_DIR ?= $(abspath $(wildcard ../shared/data))

.DEFAULT_GOAL := help
.PHONY: help serve test lint format train export verify bench screenshot lock wheel browser clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve ## Set up the slim server and start it with the committed model on http://127.0.0.1:8000
	$(BIN)/livedigit serve $(ARGS)

test: $(VENV)/.dev browser ## Set up everything and run every test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: $(VENV)/.dev ## Check style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.dev ## Rewrite the code in the project's style
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

train: $(VENV)/.dev ## Train with the default recipe (ARGS="--recipe baseline ...")
	$(BIN)/livedigit train $(ARGS)

export: $(VENV)/.dev ## Convert and publish a SavedModel (ARGS="artifacts/saved_models/digits/4 --name digits")
	$(BIN)/livedigit export $(ARGS)

verify: $(VENV)/.dev ## Hold the committed ONNX model against TensorFlow
	$(BIN)/livedigit verify artifacts/saved_models/digits/4 artifacts/models/digits/4/model.onnx $(ARGS)

bench: $(VENV)/.dev browser ## Compare with other servers and renew the README's table, or what ARGS names (ARGS=--help)
	$(BIN)/python -m benchmarks $(or $(ARGS),speed --publish --json reports/speed.json)

screenshot: $(VENV)/.dev browser ## Take the README's pictures of the page anew
	$(BIN)/python -m pytest tests/e2e -k screenshot --screenshot=.github/screenshot.png

wheel: $(VENV)/.dev ## Build dist/livedigit-*.whl, page and model included
	$(BIN)/python -m build --wheel

lock: $(VENV)/.dev ## Renew requirements/*.txt from pyproject.toml, and those of the contenders of the benchmark
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra dev -o requirements/dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 -c requirements/dev.txt -o requirements/serve.txt pyproject.toml
	for needs in benchmarks/contenders/requirements/*.in; do $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 -c requirements/serve.txt -o $${needs%.in}.txt $$needs || exit 1; done

# The shell is the same Chromium without the parts around the page, and the tests take two thirds of the time in it.
browser: ## Install Debian's Chromium for the browser tests, where that is possible
	@command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && { $(APT) chromium-headless-shell || $(APT) chromium; } >/dev/null; } \
	  || echo "chromium is missing and cannot be installed without root: the browser tests will be skipped"

clean: ## Remove the environments, the wheel and the caches
	rm -rf $(VENV) .bench dist .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { [ "$$(id -u)" = 0 ] && apt-get update -qq && $(APT) python3-venv && $(PYTHON) -m venv --clear $(VENV); }

$(VENV)/.serve: requirements/serve.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/serve.txt
	$(PIP) --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps -e .
	@touch $@ $(VENV)/.serve
