# make demo, make test: both set up what they need, in NPR_VENV, unless the active Python has it all already.

PYTHON ?= python3
NPR_VENV ?= .venv
ready  := $(shell $(PYTHON) util/environment.py >/dev/null 2>&1 && echo yes)
python := $(if $(ready),$(PYTHON),$(NPR_VENV)/bin/python)
setup  := $(if $(ready),,$(NPR_VENV)/ready)

MACHINE ?= $(shell hostname)

.PHONY: demo measure test lint format clean clean-venv
demo: $(setup)  ## UpsampleBench, both detectors trained and tested, table and figure in demo/ (5 to 15 minutes on 2 cores)
	PYTHON=$(python) bash run_multiscale_experiments.sh --quick

test: $(setup)  ## the test suite (8 minutes on 2 cores)
	$(python) -m pytest

measure: $(setup)  ## what this machine takes for every stage and for the whole plan (on a GPU, if any): benchmarks/results/MACHINE_*.json
	for model in single_scale multiscale_attention; do \
	    $(python) benchmarks/stages.py --compile --model_type $$model --out benchmarks/results/$(MACHINE)_stages_$$model.json || exit 1; \
	done
	$(python) benchmarks/plan.py --out benchmarks/results/$(MACHINE)_plan.json

lint: $(setup)
	$(python) -m ruff check .
	$(python) -m ruff format --check .

format: $(setup)
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

$(NPR_VENV)/ready: requirements.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(NPR_VENV)
	$(NPR_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(NPR_VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	touch $@

clean:  ## remove what the demo made
	rm -rf demo

clean-venv:  ## remove the environment, if it was made here
	if [ -f $(NPR_VENV)/ready ]; then rm -rf $(NPR_VENV); fi
