# make demo | test | lint: each makes .venv first, if it is not there yet.
# TORCH_INDEX=https://download.pytorch.org/whl/cpu installs the CPU build of torch.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c requirements/constraints.txt
STAMP := .venv/.installed

.PHONY: install demo test lint

install: $(STAMP)

# torch first: onedl-mmcv looks for it, and torchvision must come from the same index.
$(STAMP): setup.py $(wildcard requirements/*.txt)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'Installing torch, then the rest (a few minutes, once) ...'
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch torchvision
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
