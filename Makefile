# Everything a fresh machine needs: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test test-all laws lint types format mutants bench gpu-test gpu-bench gpu-wheels docs playground site course clean

# torch first and by itself, so that nothing else chooses which build of it comes.
$(READY): pyproject.toml constraints.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt torch==2.13.0
	$(PIP) -c constraints.txt -r requirements-dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $(READY)

# Compiled ahead, so that commands start fast even where Python is told not to write bytecode.
setup: $(READY)
	$(BIN)/python -m compileall -q netdsl

demo: setup
	$(BIN)/netdsl train specs/lenet.net

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/netdsl fmt --check specs

types: setup
	$(BIN)/mypy

# The examples of the laws are the same in every run, so that what passed here passes on another machine; `test-all` draws new ones.
test: setup lint types
	$(BIN)/python -m pytest -n 2 -m "not slow" --hypothesis-seed=0

test-all: setup lint types
	$(BIN)/python -m pytest -n 2

# Interpreter, emitted module and onnxruntime agree on the programs of 10,780 seeds, 10,000 of which are compared.
laws: setup
	NETDSL_CACHE=off $(BIN)/python -m pytest -n 2 tests/language/test_agreement.py --programs 10780

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/netdsl fmt specs

bench: setup
	$(BIN)/python -m benchmarks

# On a machine with one H100 or H200 and torch; `DEVICE=cpu` rehearses at small sizes. No network is needed: `make gpu-wheels`
# fills out/wheels before, which is installed from where it is there.
DEVICE ?= cuda
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
GPU_NEEDS := lark msgspec rich safetensors onnx onnxruntime pillow
GPU_RUN := PYTHONPATH=$(CURDIR):$(CURDIR)/out/site $(GPU_PYTHON)

gpu-wheels: setup
	$(BIN)/python -m pip download --quiet --dest out/wheels --only-binary=:all: -c constraints.txt $(GPU_NEEDS)

out/site:
	if [ -d out/wheels ]; then $(GPU_PYTHON) -m pip install --quiet --no-index --find-links out/wheels --target out/site $(GPU_NEEDS); \
	else mkdir -p out/site; fi

gpu-test: out/site
	$(GPU_RUN) benchmarks/gpu_test.py --device $(DEVICE)

gpu-bench: out/site
	$(GPU_RUN) benchmarks/gpu_bench.py --device $(DEVICE)

# Small changes of the source that some test should notice; hours for all areas: `make mutants AREA=sizes`.
mutants: setup
	$(BIN)/python tests/support/mutants.py $(AREA)

docs: setup
	$(BIN)/python -m netdsl.render.zoo specs > docs/zoo.md.new
	mv docs/zoo.md.new docs/zoo.md
	$(BIN)/python -m netdsl.render.recipes specs docs/recipes.md
	$(BIN)/python -m netdsl.render.errors docs/errors.md
	$(BIN)/python -m netdsl.diff.roadmap specs docs/roadmap.md
	$(BIN)/python -m website.images
	$(BIN)/python -m netdsl.lift.zoo > netdsl/lift/zoo.txt.new
	mv netdsl/lift/zoo.txt.new netdsl/lift/zoo.txt

# The page that runs netdsl in a browser, a folder for any static server: needs node and npm, which nothing else does.
playground: setup
	$(BIN)/python playground/build.py out/playground

# The documentation as a site, a folder for any static server, with the playground where it was built before.
site: setup
	$(BIN)/python -m website.build out/site

# Every figure of the course, by the commands that its lessons print; what was stopped goes on.
course: setup
	$(BIN)/python -m course.make

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
