# Two commands: `make demo` explains a real prediction, `make test` runs every gate. Both install what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test install lint types unit docs browser wheel clean

demo: $(READY)
	@mkdir -p out
	$(BIN)/chiasm explain --model zoo:llava-shapes --image examples/scene.png \
	  --text "What colour is the star?" --scale probability --players grid:4x4,words --out out/demo.html --out out/demo.json

test: lint types docs unit

install: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Chiasm needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments (on Debian and Ubuntu: apt install python3.11-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Shows what mkdocs says only when it fails: --quiet would hide the warnings from --strict, and pass.
docs: $(READY)
	@echo "$(BIN)/mkdocs build --strict"
	@said=$$($(BIN)/mkdocs build --strict 2>&1) || { echo "$$said" >&2; exit 1; }

unit: $(READY) browser
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# Slow, so no part of `make test`: builds the wheel and uses it in an empty environment.
wheel: $(READY)
	PYTHON=$(BIN)/python sh scripts/wheel.sh

browser:
	@sh scripts/chromium.sh

clean:
	rm -rf $(VENV) build dist site out .mypy_cache .ruff_cache .pytest_cache .hypothesis
