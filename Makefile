# Everything a reader, a teacher or CI does with this course. `make help` lists it.

# Any Python 3.11 to 3.13; choose one with `make book PYTHON=python3.12`.
OK_PYTHON = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c '$(OK_PYTHON)' 2>/dev/null && echo $(p))))
VENV ?= .venv
JOBS ?= 2
PORT ?= 8000
SEED ?= 0

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BOOK := $(BIN)/jupyter-book build . -n -W --keep-going --all
PYTEST := $(BIN)/python -m pytest -q

export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export JUPYTER_PLATFORM_DIRS = 1
unexport MPLBACKEND PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help install book html serve notebooks notebooks-plain handout answers questions pdf format test test-more test-colab lint fork reproduce bundle bench mutants controls fuzz package audit kills

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## create .venv and install the lock and the library (the targets below do it when needed)

$(INSTALLED): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(OK_PYTHON)' || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.12"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

book: $(INSTALLED)  ## execute every chapter and build the book in _build/html
	GANVAE_EXECUTE=1 $(BOOK)
	@echo "The book: _build/html/book/intro.html"

html: $(INSTALLED)  ## build the book from the stored outputs
	$(BOOK) -q
	@echo "The book: _build/html/book/intro.html"

serve: html  ## build the book and serve it on this machine until Ctrl-C (another port: PORT=9000)
	@echo "The book: http://localhost:$(PORT)/book/intro.html"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

notebooks: $(INSTALLED)  ## execute every chapter in place and store its outputs
	$(BIN)/python book/run_notebooks.py

notebooks-plain: $(INSTALLED)  ## write notebooks/: the chapters as Colab and any Jupyter show them
	$(BIN)/python book/plain.py plain

handout: $(INSTALLED)  ## the same into _build/handout, without solutions, answers and self-check values
	$(BIN)/python book/plain.py handout

answers: $(INSTALLED)  ## the key to the hand-outs, into _build/answers
	$(BIN)/python book/plain.py answers

questions: $(INSTALLED)  ## the chapters' quizzes as a question bank (GIFT, for Moodle and others), into _build/questions
	$(BIN)/python book/questions.py

pdf: html  ## each chapter as a PDF for paper, into _build/pdf (needs Chromium)
	$(BIN)/python book/pdf.py

format: $(INSTALLED)  ## code and chapters in the style that `make lint` asks for; stored outputs stay
	$(BIN)/ruff format -q --exclude '*.ipynb' .
	$(BIN)/ruff format -q --line-length 88 chapters book/*.ipynb

test: $(INSTALLED)  ## unit tests, every chapter cell by cell, the built book in a real browser
	$(PYTEST) tests --ignore tests/book --ignore tests/explorables -n $(JOBS) --dist loadscope --no-loadscope-reorder
	$(PYTEST) --nbval chapters book -n $(JOBS) --dist loadscope
	$(BOOK) -q
	$(PYTEST) tests/book/test_book_pages.py tests/book/test_book_explorers.py tests/book/test_book_modulated.py \
	  tests/book/test_book_access.py tests/book/test_book_print.py --deselect tests/book/test_book_access.py::test_axe_finds_nothing

test-more: $(INSTALLED)  ## what takes longer: accessibility on every page, explorables, plain notebooks, every model on JAX
	$(PYTEST) --nbval-lax notebooks/01_data.ipynb notebooks/03_divergences.ipynb -n $(JOBS) --dist loadscope
	$(PYTEST) tests/explorables
	$(PYTEST) tests/book
	GANVAE_JAX=all $(PYTEST) tests/test_jax.py

test-colab: .venv-colab/.installed  ## every chapter cell by cell with the versions that Colab has, in an environment of their own
	.venv-colab/bin/python -m pytest -q --nbval chapters book -n $(JOBS) --dist loadscope

.venv-colab/.installed: requirements-colab.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv-colab
	.venv-colab/bin/python -m pip install -q -c requirements-colab.txt -e ".[test]" ipykernel
	@touch $@

lint: $(INSTALLED)  ## style of code and notebooks, spelling, links inside the book, citations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --exclude '*.ipynb' .
	$(BIN)/ruff format --check --line-length 88 chapters book/*.ipynb
	$(BIN)/codespell
	@if command -v actionlint >/dev/null; then actionlint; else echo "actionlint is not installed: the workflows are not checked"; fi
	$(BOOK) -q --builder custom --custom-builder dummy

mutants: $(INSTALLED)  ## change the library in small ways, one at a time, and see whether its tests notice (half an hour)
	nice $(BIN)/python tests/mutants.py

controls: $(INSTALLED)  ## the chapters on untrained models and shuffled data: which assertions notice (hours)
	nice $(BIN)/python tests/controls.py

fuzz: $(INSTALLED)  ## 100,000 odd inputs to metrics, losses, files and commands (other ones: SEED=1)
	PYTHONPATH=. nice $(BIN)/python tests/fuzz.py --seed $(SEED)

package: .venv-tools/.installed  ## build the wheel and the source archive, check them, try the wheel in a bare environment (downloads it anew)
	rm -rf dist/package
	.venv-tools/bin/python -m build -o dist/package
	.venv-tools/bin/twine check --strict dist/package/*
	.venv-tools/bin/python tests/package.py dist/package/*.whl

audit: .venv-tools/.installed  ## known vulnerabilities of what the lock names (asks for them on the network)
	.venv-tools/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.txt

.venv-tools/.installed:
	$(PYTHON) -m venv --clear .venv-tools
	.venv-tools/bin/python -m pip install -q "build>=1.2" "twine>=6" "pip-audit>=2.7"
	@touch $@

kills: $(INSTALLED)  ## kill commands at random moments, start several at once, press Ctrl-C, and count the ends (half an hour)
	PYTHONPATH=. nice $(BIN)/python tests/kills.py --seed $(SEED)

fork:  ## set the repository's address everywhere: make fork URL=https://github.com/OWNER/NAME
	@$(PYTHON) book/fork.py "$(URL)"

reproduce: $(INSTALLED)  ## the report's full-length runs, into runs/ (hours)
	$(BIN)/ganvae reproduce

bundle: $(INSTALLED)  ## pack library, packages and MNIST for a machine with JAX and no network
	$(BIN)/python -m ganvae_lib.runs.bundle --to dist/ganvae-bundle.tar.gz

bench: .venv-bench/.installed  ## time steps and metrics beside PyTorch and others, in an environment of their own
	.venv-bench/bin/python -m bench

.venv-bench/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install -q -r requirements.txt
	# The lock's versions stay but where a rival asks for others: PyTorch for an older mpmath.
	.venv-bench/bin/python -m pip install -q -e ".[bench]"
	@touch $@
