# vmcore: `make demo` and `make test` each work alone on a machine with Python >= 3.11 and a C compiler.
#
#   make PYTHON=python3.12 demo      another interpreter
#   make VMCORE_DEBUG=1 test         Cython's bounds checks on (rebuilds)
#   make DEMO="--set scale=0.1" demo  arguments for the demo

PYTHON ?= python3
CC ?= cc
DEMO ?=
TESTS ?= tests
MINUTES ?= 10
PROFILE ?=
TRACK ?=
GROWTH ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
ENGINE := $(shell find src/vmcore -name '*.pyx' -o -name '*.pxd')
BUILT := .built$(if $(filter-out 0,$(VMCORE_DEBUG)),-debug)
BUILD_TOOLS := 'setuptools>=77' 'Cython>=3.1' 'numpy>=2' msgspec

export VMCORE_DEBUG

.PHONY: demo test build counters fuzz sanitize fuzz-kernel bench bench-quick growth bench-track lint stubtest docs clean help
.DEFAULT_GOAL := help
.SUFFIXES:

demo: build  ## the main job: 100 tasks that need 24 GiB on 16 GiB, on two kernels side by side
	@echo "vmcore compare hundred-tasks: 100 tasks, 24 GiB of anonymous memory, 16 GiB of RAM; two kernels"
	@$(BIN)/vmcore compare hundred-tasks --kernels 2.6.5,2.6.5-aa1 $(DEMO)

test: build $(VENV)/.with-test  ## the whole test suite
	@$(BIN)/python -m pytest $(TESTS)

build: $(VENV)/$(BUILT)  ## .venv with vmcore in it, built in place

counters: build $(VENV)/.with-test  ## write tests/counters.toml anew: what small scenarios count, which make test compares
	@$(BIN)/python -m tests.counters

fuzz: build $(VENV)/.with-test  ## the property tests for hours: random machines against the model
	@VMCORE_STEPS=10000 HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest tests/properties

fuzz-kernel: build $(VENV)/.with-test  ## random system calls on Linux and on vmcore's 6.18: MINUTES=10 PROFILE=mremap
	@$(BIN)/python -m tests.kernel.fuzz --minutes $(MINUTES) $(addprefix --profile ,$(PROFILE))

# In a tree of its own, so that the instrumented modules are in nobody's way. The interpreter is not instrumented: the
# runtime is loaded before it, and what Python itself leaves behind at exit is not looked at.
SANITIZED := build/sanitize
sanitize:  ## the whole test suite under address and undefined-behaviour sanitizers (half an hour)
	@mkdir -p $(SANITIZED)
	@tar cf - --exclude='*.so' --exclude='src/*.c' --exclude=__pycache__ --exclude=_build Makefile setup.py \
	    pyproject.toml README.md LICENSE MANIFEST.in src tests bench docs | tar xf - -C $(SANITIZED)
	@$(MAKE) --no-print-directory -C $(SANITIZED) VMCORE_SANITIZE=1 VMCORE_OPT=1 .venv/.with-test
	@cd $(SANITIZED) && LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	    VMCORE_SANITIZE=1 PYTHONMALLOC=malloc $(BIN)/python -m pytest $(TESTS)

bench: build $(VENV)/.with-bench  ## benchmarks: ratios within one run, exact counters beside them
	@$(BIN)/python -m bench

bench-quick: build $(VENV)/.with-bench  ## the same at a tenth of every size
	@BENCH_SCALE=0.1 $(BIN)/python -m bench

growth: build $(VENV)/.with-bench $(VENV)/.with-report  ## cost against RAM, tasks, VMAs, and what breaks first; GROWTH=--large
	@$(BIN)/python -m bench.growth $(GROWTH)

bench-track: build  ## instructions of the hot paths under valgrind, beside the committed ones; TRACK=--write
	@$(BIN)/python -m bench.track $(TRACK)

lint: build $(VENV)/.with-lint  ## ruff, mypy, cython-lint
	@$(BIN)/ruff check src tests bench setup.py
	@$(BIN)/python -m mypy
	@PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint $$(find src bench -name _build -prune -o -name "*.p[yx][xd]" -print)

stubtest: build $(VENV)/.with-lint  ## the .pyi stubs against the built modules
	@$(BIN)/python -m mypy.stubtest --allowlist stubtest-allow.txt --ignore-unused-allowlist \
	    $(addprefix vmcore._fast.,engine syscalls core host counters bugs check intervals.index)

docs: build $(VENV)/.with-docs  ## docs/_build/html: scenarios, locking, the Python interface
	@$(BIN)/sphinx-build -q -W -b html docs docs/_build/html && echo "docs/_build/html/index.html"

clean:  ## remove .venv and all that was built
	@rm -rf $(VENV) build dist docs/_build src/*.egg-info
	@find src/vmcore/_fast \( -name '*.so' -o -name '*.c' \) -delete
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo "vmcore needs Python 3.11 or newer, and there is no '$(PYTHON)' here;" \
	    "name one: make PYTHON=/path/to/python3.12 demo" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "vmcore needs Python 3.11 or newer," \
	    "and '$(PYTHON)' is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12 demo" >&2; exit 1; }
	@command -v $(CC) >/dev/null || { echo "vmcore needs a C compiler, and there is no '$(CC)' here;" \
	    "install gcc or clang, or name one: make CC=gcc demo" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
	    || { echo "vmcore needs Python's C headers (Python.h), and '$(PYTHON)' has none;" \
	    "on Debian and Ubuntu: apt-get install python3-dev" >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.tools: $(VENV)/.python pyproject.toml
	@echo "installing build tools (setuptools, Cython, numpy)"
	@$(PIP) install --upgrade-strategy only-if-needed $(BUILD_TOOLS)
	@touch $@

$(VENV)/$(BUILT): $(VENV)/.tools setup.py $(ENGINE)
	@echo "building the engine"
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@test $(VENV)/.installed -nt pyproject.toml || { echo "installing vmcore into $(VENV)" && \
	    $(PIP) install --no-build-isolation --no-deps --editable . && touch $(VENV)/.installed; }
	@$(BIN)/python -m compileall -q src/vmcore
	@rm -f $(VENV)/.built $(VENV)/.built-debug
	@touch $@

$(VENV)/.with-%: $(VENV)/$(BUILT) pyproject.toml
	@test $@ -nt pyproject.toml || { echo "installing the '$*' tools" && \
	    $(PIP) install --no-build-isolation --editable '.[$*]'; }
	@touch $@
