# Every target makes .venv by itself when it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: quickstart test check fast lint serve docs docs-serve

quickstart: $(READY)
	$(BIN)/vesselforge run configs/quickstart.yaml

# One thread a test and two tests at a time: threads of several programs that wait for each other
# on few cores make tests ten times slower.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The inner loop, a minute and a half: what is fast to find out.
check: $(READY)
	$(MAKE) --jobs 2 --output-sync lint fast

fast: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# make serve PORT=4300 LIMIT=2
serve: $(READY)
	$(BIN)/vesselforge serve $(if $(PORT),--port $(PORT)) $(if $(LIMIT),--limit $(LIMIT))

# The theme's notice about its end of life is known (pyproject.toml).
docs docs-serve: export NO_MKDOCS_2_WARNING = 1
docs: $(READY)
	$(BIN)/mkdocs build --strict
	@echo 'open build/site/index.html'

# http://127.0.0.1:8000, built again when a page changes.
docs-serve: $(READY)
	$(BIN)/mkdocs serve

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later, please: make PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@
