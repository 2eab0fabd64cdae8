# Two commands do everything on a machine with Python 3.11, make and git:
#   make lab    install, and open JupyterLab on the first tutorial
#   make test   install what the tests need, and run them all
# And: make demo (the tutorial, headless), make bench (the README's measured table), make check (lint and types).

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
TUTORIAL := tutorials/01_first_laws.ipynb
WORKERS ?= 2
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

.DEFAULT_GOAL := help
.PHONY: help lab demo test check bench chromium clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -5

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Two stamps, so that a second `make` installs nothing: one for the user, one for the tests.
$(VENV)/.lab: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing nbsr and JupyterLab into $(VENV) ..."
	$(PIP) --editable ".[lab]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing nbsr and what its tests need into $(VENV) ..."
	$(PIP) --editable ".[dev,browser]"
	@touch $@ $(VENV)/.lab

lab: $(VENV)/.lab
	$(BIN)/nbsr warm
	$(BIN)/jupyter lab $(ROOT_FLAG) $(TUTORIAL)

demo: $(VENV)/.lab
	$(BIN)/nbsr laws $(TUTORIAL)

chromium:
	@command -v chromium >/dev/null || { \
	  echo "Installing Debian's chromium for the browser tests ..."; \
	  $(SUDO) apt-get update -qq && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }

test: $(VENV)/.dev chromium
	$(BIN)/nbsr warm
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
	@$(MAKE) --no-print-directory check

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

bench: $(VENV)/.dev
	$(BIN)/nbsr bench evaluator
	$(BIN)/nbsr bench startup
	$(BIN)/nbsr bench large
	$(BIN)/nbsr bench nguyen --rows 20 --seconds 10
	$(BIN)/nbsr bench fastsrb --rows 200 --seconds 10
	$(BIN)/nbsr bench fastsrb --rows 200 --seconds 10 --noise 0.01
	$(BIN)/nbsr bench fastsrb --rows 200 --seconds 10 --noise 0.1
	$(BIN)/nbsr bench fastsrb --method softmax --choices 32,256,1024
	$(BIN)/nbsr bench fastsrb --method prior --choices 1024
	$(BIN)/nbsr bench fastsrb --method beam --choices 32,256,1024 --every 3
	$(BIN)/nbsr bench fastsrb --method mcts --choices 32,256,1024 --every 3
	$(BIN)/nbsr bench ablation --every 3
	$(BIN)/nbsr bench decode --model base
	$(BIN)/nbsr bench train
	$(BIN)/nbsr bench network-memory

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find nbsr tests -name __pycache__ -prune -exec rm -rf {} +
