# Everything sets itself up: a fresh machine needs python3 (3.11 or newer), git and make.
#   PYTHON=python3.12      the interpreter the virtual environment is made with
#   CONSTRAINTS=openpi     the versions of constraints/openpi.txt, in an environment of their own

PYTHON ?= python3
CONSTRAINTS ?= newest

VENV := $(if $(filter newest,$(CONSTRAINTS)),.venv,.venv-$(CONSTRAINTS))
BIN := $(VENV)/bin
PINS := constraints/$(CONSTRAINTS).txt
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.ready-docs
ORACLE_PINS := constraints/oracles.txt
ORACLES_READY := $(VENV)/.ready-oracles
# uv is several times faster; where it cannot be had or fails, pip does the same.
install = $(BIN)/uv pip install --quiet --python $(BIN)/python $(1) || $(BIN)/python -m pip install --quiet $(1)

.DEFAULT_GOAL := help
.PHONY: help setup oracles test test-slow demo demo-stitched types lint format docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(READY) ## Make the virtual environment

$(READY): pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: expected Python 3.11 or newer, got " + sys.version.split()[0] + "; pass PYTHON=<a newer python>")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv || echo "uv is not to be had here; going on with pip"
	$(call install,-e '.[dev]' -c $(PINS))
	@touch $@

oracles: $(ORACLES_READY) ## Add the reference implementations that the parity tests compare with

# torch: the CPU build where it is to be had, as the plain one brings gigabytes of CUDA. gemma and kauldron without
# their dependencies, which include TensorFlow; what they do need is in the extra (see tests/support/gemma_compat).
$(ORACLES_READY): $(READY) $(ORACLE_PINS)
	@{ $(call install,'torch==2.13.0+cpu' -c $(PINS)); } 2>$(VENV)/torch.log || echo "no CPU build of torch here; going on with the plain one"
	$(call install,-e '.[oracle]' -c $(PINS) -c $(ORACLE_PINS))
	$(call install,--no-deps gemma kauldron -c $(ORACLE_PINS))
	@touch $@

test: $(READY) ## Run the tests (minutes)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(READY) ## Run the full-size tests
	$(BIN)/python -m pytest -m slow

demo: $(READY) ## Train on a small synthetic robot, without data or weights
	$(BIN)/pistar-vf train --demo

demo-stitched: $(READY) ## The same with the stitched model: questions about pictures, then values
	$(BIN)/python scripts/train.py --demo

types: $(READY) ## Check types
	$(BIN)/mypy

# Types are those of the newest versions: stubs of NumPy 1 call other things wrong.
lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@[ "$(CONSTRAINTS)" != newest ] || $(BIN)/mypy

format: $(READY) ## Repair style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_READY) ## Build the documentation into build/docs
	$(BIN)/mkdocs build --strict --site-dir build/docs

$(DOCS_READY): $(READY)
	$(call install,-e '.[docs]' -c $(PINS))
	@touch $@

clean: ## Remove the environments and everything built
	rm -rf .venv .venv-* build dist .pytest_cache .ruff_cache .hypothesis
