# Every target builds the environment that it needs, in .venv: no root, no compiler.
#   make demo    an image to look at, in demo/
#   make campaign-demo  100 stills of lysozyme, in two minutes on two cores, and a sheet of them in examples/lysozyme_stills/
#   make refine-demo    a still of lysozyme, and cell, orientation and scale found again from it, in examples/lysozyme_still/
#   make test    the tests that take seconds; make slow: the others
#   make lint    style and types
#   make bench   speed, on this machine
#   make test-dials  what DIALS makes of our files, where python3-dials or another DIALS_PYTHON has it
#   make test-slurm  campaigns in a SLURM of one node, started and stopped for it: by root, with slurm-wlm and munge
#   make test-gpu, make bench-gpu, make first-light: on its graphics card; without a network, by a Python that has all
#                that is needed: make first-light NO_INSTALL=1 PYTHON=python3
#   make docs    docs/options.md, docs/api.md and the man page, build/man/nbnumba.1
#   make install an ordinary installation: .venv/bin/nbnumba
#   make clean   forget all that was made here

runs = $(shell $(1) -c 'import sys; print((3, 11) <= sys.version_info < (3, 15))' 2>/dev/null)
candidates = python3 python3.14 python3.13 python3.12 python3.11
ifndef PYTHON
PYTHON := $(firstword $(foreach candidate,$(candidates),$(if $(filter True,$(call runs,$(candidate))),$(candidate))))
endif

venv = .venv
bin = $(venv)/bin
editable = $(venv)/editable.stamp
tools = $(venv)/tools.stamp
ifdef NO_INSTALL
python_on_card = $(PYTHON)
else
python_on_card = $(bin)/python
tools_on_card = $(tools)
endif
sources = pyproject.toml setup.cfg nbnumba/version.py

stills = examples/lysozyme_stills
still = examples/lysozyme_still

.PHONY: demo campaign-demo refine-demo test slow lint bench test-dials test-slurm bench-gpu test-gpu first-light docs install clean

demo: $(editable)
	$(bin)/nbnumba demo

campaign-demo: $(tools)
	$(bin)/nbnumba campaign run $(stills).toml -local 2
	$(bin)/nbnumba campaign verify $(stills).toml -deep
	$(bin)/nbnumba campaign master $(stills).toml
	$(bin)/python examples/contact_sheet.py $(stills) $(stills)/sheet.png
	@echo
	@echo "Look at    $(stills)/sheet.png: frames with their number, and how many crystals each has; water alone, where none."
	@echo "           $(stills)/lysozyme_master_000.h5 has all frames: open it in DIALS, ALBULA or h5py."
	@echo "           $(stills)/truth.parquet has a row for each crystal; docs/campaigns.md says more."

refine-demo: $(editable)
	mkdir -p $(still)
	$(bin)/nbnumba -experiment $(still).toml -o $(still)/still.img -o $(still)/still.png
	$(bin)/nbnumba refine examples/lysozyme_start.toml -image $(still)/still.img -free cell,misset,scale -system tetragonal \
	  -background radial -o $(still)/refined.toml -report $(still)/refine.json -png $(still)/residuals.png
	$(bin)/python examples/refined_still.py $(still).toml examples/lysozyme_start.toml $(still)
	@echo
	@echo "Look at    $(still)/residuals.png: the image, the model, and what is left: noise."
	@echo "           $(still)/spots.png: spots of the start and of the refined crystal; docs/refinement.md says more."

test: $(tools)
	$(bin)/python -m pytest -q -n auto --dist loadfile

slow: $(tools)
	$(bin)/python -m pytest -q -n auto --dist loadfile -m slow

lint: $(tools)
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

bench: $(tools)
	$(bin)/python -m benchmarks

test-dials: $(tools)
	$(bin)/python -m pytest -q -rs -m dials tests/test_dials.py tests/test_dials_campaign.py

test-slurm: $(tools)
	$(bin)/python -m pytest -q -rs -m slurm tests/test_slurm.py

bench-gpu: $(tools_on_card)
	$(python_on_card) -m benchmarks.gpu

test-gpu: $(tools_on_card)
	$(python_on_card) -m pytest -q -m gpu tests/test_gpu.py

first-light: $(tools_on_card)
	$(python_on_card) -m benchmarks.first_light

docs: $(tools)
	@mkdir -p build
	$(bin)/python -m nbnumba.nanobragg.option_table > build/options.md
	mv build/options.md docs/options.md
	$(bin)/python -m docs.api_page > build/api.md
	mv build/api.md docs/api.md
	$(bin)/python -c 'from setuptools import setup; setup()' -q build_manpages

install: $(bin)/python
	@echo "Installing nbnumba into $(venv)"
	@rm -rf $(editable) $(tools) build/lib
	@$(bin)/python -m pip install -qq .
	@echo "Done: $(bin)/nbnumba"

clean:
	rm -rf $(venv) build dist demo examples/lysozyme_*/ benchmarks/results *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(editable): $(bin)/python $(sources)
	@echo "Installing nbnumba and its dependencies into $(venv)"
	@$(bin)/python -m pip install -qq -e .
	@touch $@

$(tools): $(bin)/python $(sources)
	@echo "Installing nbnumba, its dependencies and the test tools into $(venv)"
	@$(bin)/python -m pip install -qq -e '.[test]'
	@touch $(editable) $@

$(bin)/python:
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11 to 3.14; name one as make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Creating $(venv) with $(PYTHON)"
	@$(PYTHON) -m venv $(venv)
	@$(bin)/python -m pip install -qq --upgrade pip
