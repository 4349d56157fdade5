# make demo | test | lint: each makes .venv first, if it is not there yet.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c requirements/constraints.txt
STAMP := .venv/.installed

.PHONY: install demo test lint

install: $(STAMP)

# torch first and alone: torchvision and onedl-mmcv look for it, and its pin must not be moved by them.
$(STAMP): setup.py $(wildcard requirements/*.txt)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'Installing torch, then the rest (a few minutes, once) ...'
	$(PIP) torch
	$(PIP) -r requirements/mminstall.txt
	$(PIP) -e '.[tests,lint]'
	touch $@

demo: $(STAMP)
	$(BIN)/python tools/demo.py $(DEMO_ARGS)

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto $(TEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
