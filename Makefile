# make demo | test | lint | clean: each sets up what it needs in .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TORCH  ?= torch==2.13.0
export IMPASTO_SHARED ?= $(abspath ../shared)

.PHONY: demo test lint format clean
.DELETE_ON_ERROR:

# What a user has: no PyTorch.
$(VENV)/usable: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

# On Linux, PyPI's torch may bring CUDA: TORCH="torch --index-url https://download.pytorch.org/whl/cpu" avoids that.
$(VENV)/installed: $(VENV)/usable
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[export,dev]'
	touch $@

demo: $(VENV)/usable
	$(BIN)/python examples/demo.py

test: $(VENV)/installed
	$(BIN)/python -m pytest

# mypy reads an installed copy: the folders' own names are not the import names. To it come the parts of bench/ that the
# wheel leaves out.
lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/typecheck .
	cp -r bench/studies bench/gpu build/typecheck/impasto/bench
	cp -r models/distil build/typecheck/impasto/models
	cd build/typecheck && MYPYPATH=../.. ../../$(BIN)/mypy --config-file ../../pyproject.toml \
	  -p impasto.models -p impasto.export -p impasto.engine -p impasto.bench
	MYPYPATH=build/typecheck $(BIN)/mypy tests examples
	cd build/typecheck && ../../$(BIN)/lint-imports --config ../../pyproject.toml

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache demo.png
