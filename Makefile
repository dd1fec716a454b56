# On a fresh machine: `make repro` runs the whole study, `make test` the tests. Each target sets up
# what it needs in .venv, and takes no time for that when requirements.txt has not changed.

PYTHON ?= python3
STUDY ?= .
override STUDY := $(patsubst ~/%,$(HOME)/%,$(STUDY))
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# A variable's text as it was given, for the shell: names of files may hold quotes and $.
given = '$(subst ','\'',$(value $1))'

# `dvc exp run` commits, and DVC's own message does not say what to do where it cannot.
KNOWN = git var GIT_COMMITTER_IDENT >/dev/null 2>&1 || printf '%s\n' \
	'note: Git knows no user here, which `dvc exp run` needs; set one with' \
	'  git config user.name "YOUR NAME" && git config user.email YOU@EXAMPLE.ORG' >&2

# dvc.yaml is the same in all studies, and must not be written where another project's may be.
STUDIED = test -f $(call given,STUDY)/params.yaml || { echo error: STUDY = $(call given,STUDY)': a study is a' \
	'folder with a params.yaml' >&2; exit 1; }

.PHONY: setup repro screen design validate track predict test ray gpu ui lint format study requirements readme \
	cards find-lr export try

setup: $(READY)  ## .venv alone, which all the others set up too
	@$(KNOWN)

# A tree that is no Git clone, such as an unpacked archive: DVC must be told, and when it becomes one.
SCM = if ! git rev-parse >/dev/null 2>&1; then dvc config --local core.no_scm true && \
	echo 'note: this is no Git clone, so that experiments and comparisons of revisions are not there' >&2; \
	elif grep -qs no_scm .dvc/config.local; then dvc config --local --unset core.no_scm; fi

repro: $(READY)  ## the whole study; STUDY=studies/NAME for another one, JOBS=n stages side by side
	@$(STUDIED)
	@cmp -s dvc.yaml $(call given,STUDY)/dvc.yaml || cp dvc.yaml $(call given,STUDY)/dvc.yaml
	@cd $(call given,STUDY) && $(SCM)
	@cd $(call given,STUDY) && rm -rf .try
	cd $(call given,STUDY) && python -m stages.check && \
		python -m cnnlab.run.nursery $(if $(JOBS),python -m cnnlab.launch --jobs $(JOBS),dvc repro)

try: $(READY)  ## all of the study on few images, two variants and two folds, within a minute or two: .try
	@$(STUDIED)
	cd $(call given,STUDY) && python -m cnnlab.tryout

screen: $(READY)  ## the first look alone, within minutes, where variants begin at a backbone
	@$(STUDIED)
	@cmp -s dvc.yaml $(call given,STUDY)/dvc.yaml || cp dvc.yaml $(call given,STUDY)/dvc.yaml
	cd $(call given,STUDY) && $(SCM); python -m stages.check && dvc repro describe screen

design: $(READY)  ## write the variants of params.yaml's design into it, and say what they tell and cost
	@$(STUDIED)
	cd $(call given,STUDY) && python -m cnnlab.design

validate: $(READY)  ## how often the comparison is wrong: on recorded and simulated studies; TRAIN=n adds n trained ones
	python -m cnnlab.validate $(if $(TRAIN),--train $(TRAIN))

track: $(READY)  ## log to MLflow what it lacks, after a time when it was away
	@$(STUDIED)
	cd $(call given,STUDY) && python -m cnnlab.track

predict: $(READY)  ## what is in an image or all of a folder: make predict IMAGE=photo.jpg [JSON=yes]
	@$(STUDIED)
	@python -m cnnlab.predict --model $(call given,STUDY)/models$(if $(value JSON), --json)$(if \
		$(value IMAGE), $(call given,IMAGE))

export: $(READY)  ## the network as TensorFlow Lite and, with requirements-export.txt, ONNX, in exports
	@$(STUDIED)
	cd $(call given,STUDY) && python -m cnnlab.export

test: $(READY)
	@git rev-parse >/dev/null 2>&1 || { echo 'error: the tests need a Git clone, which this is not' >&2; exit 1; }
	python -m cnnlab.run.nursery pytest -n 2 --dist loadfile --no-loadscope-reorder  # long files have few tests: not last

ray: $(READY)  ## what execution.backend: ray needs; its tests are skipped without
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-ray.txt

gpu: $(READY)  ## CUDA's libraries, 3 GB, so that TensorFlow can use an NVIDIA GPU
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-gpu.txt

ui: $(READY)  ## MLflow's page of the variants, best first, on http://127.0.0.1:5000
	@$(STUDIED)
	cd $(call given,STUDY) && python -m cnnlab.ui

lint: $(READY)
	ruff check . && ruff format --check .

format: $(READY)
	ruff check --fix . && ruff format .

study: $(READY)  ## a new study: make study NAME=photos IMAGES=~/photos [MINUTES=60 FLIPS=no ROTATIONS=no NETWORK=small TASK=detection]
	@python -m cnnlab.new_study $(call given,NAME)$(if $(value IMAGES), --images $(call given,IMAGES))$(if \
		$(value MINUTES), --minutes $(call given,MINUTES))$(if $(value FLIPS), --flips $(call given,FLIPS))$(if \
		$(value ROTATIONS), --rotations $(call given,ROTATIONS))$(if $(value NETWORK), --network $(call given,NETWORK))$(if \
		$(value TASK), --task $(call given,TASK))

readme: $(READY)  ## the README's table from the committed reports
	python -m cnnlab.report.readme

cards: $(READY)  ## docs/techniques from the techniques' files and the committed reports
	python -m cnnlab.report.cards

find-lr: $(READY)  ## which learning rate: a short training with a rising one; VARIANT=name for another than the first
	@$(STUDIED)
	cd $(call given,STUDY) && python -m cnnlab.find_lr $(VARIANT)

requirements: $(READY)  ## requirements*.txt from requirements*.in
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
		--no-emit-find-links --upgrade requirements.in requirements-dev.in \
		--output-file requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
		--no-emit-find-links requirements-ray.in -c requirements.txt --output-file requirements-ray.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
		--no-emit-find-links requirements-gpu.in -c requirements.txt --output-file requirements-gpu.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
		--no-emit-find-links requirements-data.in -c requirements.txt --output-file requirements-data.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
		--no-emit-find-links requirements-export.in -c requirements.txt --output-file requirements-export.txt

$(READY): requirements.txt
	@case $(call given,CURDIR) in *[%:$$\"\`]*) echo 'error: Python environments, or MLflow in them, do not work in' \
		$(call given,CURDIR)': use a path without any of % : $$ " `' >&2; exit 1;; esac
	@$(PYTHON) -c 'import sys; here = sys.version_info[:2]; sys.exit(None if (3, 11) <= here <= (3, 13) else "error: \
	$(PYTHON) is Python %d.%d; needed is 3.11 to 3.13, for which TensorFlow is made: make PYTHON=python3.13" % here)'
	@$(if $(word 2,$(CURDIR)),echo 'note: the path of this clone has a space:' $(call given,CURDIR) >&2)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(KNOWN)
	touch $@
