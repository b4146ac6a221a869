# Everything that a newcomer types. `make help` lists it.
PYTHON ?= python3
PROFILE ?= full
# What this machine is locked for: `default`, or `neuron` for an inf2 instance (docs/inferentia.md).
ENVIRONMENT ?= default
ifeq ($(ENVIRONMENT),default)
VENV := .venv
LOCKS := requirements
else ifeq ($(ENVIRONMENT),neuron)
VENV := .venv-neuron
LOCKS := requirements/neuron
INDEX = --extra-index-url $(or $(NEURON_INDEX),$(error NEURON_INDEX is empty; it is the address of AWS's package index))
else
$(error ENVIRONMENT is $(ENVIRONMENT); allowed: default, neuron)
endif
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev
export PATH := $(CURDIR)/$(BIN):$(PATH)
# pip compiles on one core, this on all; it passes over what is compiled. Packages' own tests are a fifth of all. A
# package's template may be no Python, which is no error here.
COMPILE = $(BIN)/python -W ignore -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
# Tests mostly wait for processes that they start. A file's tests stay together, and the longest files begin first.
BESIDE = --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# No package that the pipeline uses may report usage to its makers.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help setup repro test lint lab mlflow

help: ## list the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

setup: $(READY) ## create .venv and install the locked dependencies (ENVIRONMENT=neuron: .venv-neuron, those of an inf2 instance)

$(READY): $(LOCKS)/lock.txt $(LOCKS)/torch.txt requirements/assets.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "inferlab needs Python 3.11 to 3.13, this is %d.%d: make setup PYTHON=python3.11" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes -r $(LOCKS)/lock.txt
	$(BIN)/python -m pip install --quiet --no-compile $(INDEX) -r $(LOCKS)/torch.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes -r requirements/assets.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(COMPILE)
	@touch $(READY)

$(DEV_READY): $(READY) $(LOCKS)/dev.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes -r $(LOCKS)/dev.txt
	$(COMPILE)
	@touch $(DEV_READY)

repro: setup ## measure everything that params.yaml selects and render reports/ (PROFILE=quick: fewer rounds, smaller data)
	$(BIN)/inferlab profile $(PROFILE)
	$(BIN)/inferlab build
	$(BIN)/dvc repro

test: $(DEV_READY) ## pass the tests, one small run of the whole pipeline among them
	$(BIN)/python -m pytest $(BESIDE)

lint: $(DEV_READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: setup ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --notebook-dir=notebooks

mlflow: setup ## the MLflow UI on the runs
	$(BIN)/mlflow ui --host 127.0.0.1 --workers 1 --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}
