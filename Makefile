# `make demo` and `make test` need Python >= 3.10, a C compiler and nothing else: they set everything up in .venv.
PYTHON ?= python3
# Where a CPU build of torch is found when pip's own configuration knows none.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=15 --durations-min=2
marked = $(shell grep -l "mark\.$(1)" tests/test_*.py)
OLDEST_TRITON := $(shell sed -n 's/.*"triton>=\([0-9.]*\).*/\1.0/p' pyproject.toml)
OLDEST := .venv/triton-$(OLDEST_TRITON)

.PHONY: setup oldest demo docs test lint dev bench peers gpu static

# Threads that wait in a loop slow everything down on a machine that others use too.
demo docs test: export OMP_WAIT_POLICY ?= passive
demo test: export PYTHONDONTWRITEBYTECODE :=

setup: .venv/.ready

.venv/.ready: install.py pyproject.toml constraints.txt
	$(PYTHON) install.py $(TORCH_INDEX)
	touch $@

demo: setup
	$(BIN)/python examples/digits.py

# build/docs/index.html: runs the code of every page, fails where a page has a warning or a link leads nowhere.
docs: setup
	$(BIN)/python -m docs.site

# Processes of their own: Triton decides between interpretation and compilation when it is imported, and kernels are built
# by the oldest release that is supported, too. The first one also compares the numbers before and after every pass.
test: setup oldest
	$(PYTEST) -m "not interpret and not gpu"
	GRAPHC_VERIFY=1 TRITON_INTERPRET=1 OMP_NUM_THREADS=1 $(PYTEST) -m "interpret" $(call marked,interpret)
	PYTHONPATH=$(CURDIR)/$(OLDEST) $(BIN)/python -c "import triton; assert triton.__version__ == '$(OLDEST_TRITON)', triton"
	GRAPHC_VERIFY=1 PYTHONPATH=$(CURDIR)/$(OLDEST) $(PYTEST) -m "ahead" $(call marked,ahead)

oldest: $(OLDEST)/.ready

$(OLDEST)/.ready: .venv/.ready
	$(PYTHON) install.py --into $(OLDEST) triton==$(OLDEST_TRITON)
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Links named as the packages are imported, for editors and static checkers.
dev: setup
	rm -rf build/types/graphc && mkdir -p build/types/graphc
	ln -s $(CURDIR)/graphc/* $(CURDIR)/ir $(CURDIR)/passes $(CURDIR)/codegen $(CURDIR)/runtime build/types/graphc/

# What every kernel of the zoo uses, built ahead of time by both releases: tests/golden/triton_static_*.txt. It may be
# interrupted, and goes on where it was.
static: setup oldest
	$(BIN)/python -m tests.static_table
	PYTHONPATH=$(CURDIR)/$(OLDEST) $(BIN)/python -m tests.static_table

bench: setup peers
	$(BIN)/python -m benchmarks.suite

peers: setup
	$(BIN)/python -m benchmarks.peers.install

# On a CUDA machine, with the python that has torch and Triton there and without network. Install graphc first:
# python3 -m pip install --no-index --no-deps --no-build-isolation -e .
# Tests share the GPU where pytest-xdist is installed; what they print is in tests.txt. The suite runs in any case. Both
# write to $OUT or benchmarks/results and end after some minutes, whatever hangs.
gpu: export GRAPHC_VERIFY ?= 1
gpu:
	out=$${OUT:-benchmarks/results}; mkdir -p $$out; status=0; \
	workers=$$($(PYTHON) -c "import xdist" 2>/dev/null && echo "-n 8 --dist worksteal"); \
	limit=$$($(PYTHON) -c "import pytest_timeout" 2>/dev/null && echo "--timeout=120"); \
	OMP_NUM_THREADS=2 timeout -k 5 240 $(PYTHON) -m pytest -q -m gpu --tb=short -rfE --durations=10 $$workers $$limit \
	  $$(grep -l "mark.gpu" tests/test_*.py) > $$out/tests.txt 2>&1 || status=1; \
	tail -n 40 $$out/tests.txt; \
	timeout -k 5 340 $(PYTHON) -m benchmarks.gpu || status=1; exit $$status
