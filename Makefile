# One virtual environment, two stamps: `make demo` waits for the package and its example data only, the
# development tools are added to the same environment when a target first needs them.

PYTHON ?= python3
VENV ?= .venv
UV ?= $(shell command -v uv 2>/dev/null)
WORKERS ?= 2

BIN := $(VENV)/bin
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

ifneq ($(UV),)
INSTALL := "$(UV)" pip install --python "$(BIN)/python"
else
INSTALL := "$(BIN)/python" -m pip install --disable-pip-version-check --no-input
endif

SHELL := /bin/sh
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-gpu test-ecosystem test-loggers test-lowest lint lint-ruff lint-format lint-types lint-imports format bench docs clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.dev  ## Create the environment with every development tool

demo: $(VENV)/.examples  ## Train a model that learns a shortcut, and watch it being caught
	$(BIN)/saliency-callbacks demo

test: $(VENV)/.dev  ## Run every test and every docstring example
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-gpu: $(VENV)/.dev  ## Run the tests that need a CUDA device, and print what an explanation costs there
	$(ONE_THREAD) CUBLAS_WORKSPACE_CONFIG=:4096:8 $(BIN)/python -m pytest tests/gpu -s $(ARGS)

test-ecosystem: $(VENV)-ecosystem/.dev  ## Run the tests on models and data of other packages, in an environment of its own
	$(ONE_THREAD) $(VENV)-ecosystem/bin/python -m pytest tests/ecosystem -n $(WORKERS) $(ARGS)

test-loggers: $(VENV)-loggers/.dev  ## Run the tests of loggers that need older packages, in an environment of its own
	$(ONE_THREAD) $(VENV)-loggers/bin/python -m pytest tests/sinks/loggers tests/sinks/test_contract.py -n $(WORKERS) $(ARGS)

test-lowest: $(VENV)-lowest/.dev  ## Run every test on the lowest supported versions, in an environment of its own
	$(ONE_THREAD) $(VENV)-lowest/bin/python -m pytest -n $(WORKERS) -o filterwarnings=default $(ARGS)

lint: lint-ruff lint-format lint-types lint-imports  ## Run every static check

lint-ruff: $(VENV)/.dev
	$(BIN)/ruff check .

lint-format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint-types: $(VENV)/.dev
	$(BIN)/mypy

lint-imports: $(VENV)/.dev
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## Apply the formatter and the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench  ## Measure cost and accuracy against other libraries
	$(BIN)/python -m benchmarks.run $(ARGS)

docs: $(VENV)/.docs  ## Build the documentation into site/, warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet $(ARGS)

clean:  ## Remove the environment and everything generated
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-loggers $(VENV)-ecosystem build dist site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis lightning_logs
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.examples: pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[examples]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[dev,examples]'
	@touch $(VENV)/.examples $@

$(VENV)/.bench: $(VENV)/.dev
	$(INSTALL) -e '.[dev,examples,bench]'
	@touch $(VENV)/.examples $(VENV)/.dev $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[docs]'
	@touch $@

$(VENV)-ecosystem/.dev: pyproject.toml
	$(PYTHON) -m venv "$(VENV)-ecosystem"
	"$(VENV)-ecosystem/bin/python" -m pip install --disable-pip-version-check --no-input -e '.[dev,examples,ecosystem]'
	@touch $@

# Trackio and SwanLab want an older Pillow and protobuf, and importing LitLogger takes long.
$(VENV)-loggers/.dev: pyproject.toml
	$(PYTHON) -m venv "$(VENV)-loggers"
ifneq ($(UV),)
	"$(UV)" pip install --python "$(VENV)-loggers/bin/python" -e '.[dev,litlogger,swanlab,trackio]' dvclive
else
	"$(VENV)-loggers/bin/python" -m pip install --disable-pip-version-check --no-input \
		-e '.[dev,litlogger,swanlab,trackio]' dvclive
endif
	@touch $@

# Old releases warn of what was new to them, so that here warnings are no errors. Only uv resolves to the lowest.
$(VENV)-lowest/.dev: pyproject.toml
	$(PYTHON) -m venv "$(VENV)-lowest"
	"$(VENV)-lowest/bin/python" -m pip install --disable-pip-version-check --no-input --quiet uv
	"$(VENV)-lowest/bin/uv" pip install --python "$(VENV)-lowest/bin/python" --resolution lowest-direct -e '.[dev,examples]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "saliency-callbacks needs Python 3.10 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another interpreter: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
ifneq ($(UV),)
	"$(UV)" venv --seed --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" "$(VENV)"
else
	@$(PYTHON) -m venv "$(VENV)" || { rm -rf "$(VENV)"; \
		echo "'$(PYTHON) -m venv $(VENV)' failed. It needs Python's venv and ensurepip modules" >&2; \
		echo "(on Debian and Ubuntu the package python3-venv), or uv on the PATH." >&2; exit 1; }
endif
