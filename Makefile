# make demo | test | lint | cpp | cpp-test | clean: the Python ones set up what they need in .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TORCH  ?= torch==2.13.0
# Processes that run tests side by side; the tests of one file stay together.
JOBS   ?= auto
export IMPASTO_SHARED ?= $(abspath ../shared)

.PHONY: demo test lint cpp cpp-test format clean
.DELETE_ON_ERROR:

# What a user has: no PyTorch. It builds the operators of cpp/ops where there is a C++ compiler.
$(VENV)/usable: pyproject.toml setup.py $(wildcard cpp/ops/*)
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

# axe-core, which the tests of the page look for barriers with; without npm they are skipped.
AXE := tests/server/page/node_modules/axe-core/axe.min.js
$(AXE): tests/server/page/package-lock.json
	npm ci --prefix tests/server/page --no-audit --no-fund --silent && touch $@ || echo "no axe-core: npm is missing or failed" >&2

# PYTEST="--ignore=tests/cpp" and the like are passed on.
test: $(VENV)/installed $(AXE)
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 8 --dist loadfile $(PYTEST)

# libimpasto and its examples. It needs CMake and a compiler; the examples need libpng and libjpeg.
cpp:
	cmake -S cpp -B build-cpp
	cmake --build build-cpp --parallel

cpp-test: $(VENV)/installed cpp
	$(BIN)/python -m pytest tests/cpp

# mypy reads an installed copy: the folders' own names are not the import names. To it come the parts of bench/ that the
# wheel leaves out.
lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build
	IMPASTO_NATIVE=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/typecheck .
	cp -r bench/studies bench/gpu bench/rivals build/typecheck/impasto/bench
	cp -r models/distil build/typecheck/impasto/models
	cd build/typecheck && MYPYPATH=../.. ../../$(BIN)/mypy --config-file ../../pyproject.toml \
	  -p impasto.models -p impasto.export -p impasto.engine -p impasto.client -p impasto.server -p impasto.bench
	MYPYPATH=build/typecheck $(BIN)/mypy tests examples
	cd build/typecheck && ../../$(BIN)/lint-imports --config ../../pyproject.toml

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build build-cpp dist *.egg-info .mypy_cache .ruff_cache .pytest_cache demo.png
