"""The trials of the committed studies stay valid: the code that trained them computes as it did.

`trained.json` beside this file says of which code, on which kind of device, with which versions of
the libraries they are; `python -m tests.records.test_trained` writes it anew, once all committed
studies have been trained again. It is not to be written for anything less.

Code that trains can be rewritten without that, where it computes the same to the bit: train the
digits anew with it, `rm -r data/runs data/decided data/backbone models; make repro`, and where
neither `reports` nor the digests of `data/runs` in `dvc.lock` have changed, and a trial of every
kind that only other studies have is the same too, `python -m tests.records.test_trained same`
writes `cnnlab/records/same.json`, so that the trials stay valid.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from cnnlab import params, paths
from cnnlab.data import folds, pool
from cnnlab.records.fingerprint import FIT, PHASES, SAME, _digest, code, versions
from cnnlab.run import device
from cnnlab.run.job import Job
from cnnlab.tracking import digest

ROOT = Path(__file__).parents[2]
TRAINED = Path(__file__).with_name("trained.json")
STUDIES = (".", *(f"studies/{name}" for name in ("boxes", "canvases", "cifar10", "transfer")))


def recipes(study):
    """Variant -> recipe."""
    whole = params.read(ROOT / study / "params.yaml")
    return {name: whole.sections.recipe(names) for name, names in whole.variants.every.items()}


def modules(study):
    """Module -> digest, of all that trains a study's variants."""
    names = {f"cnnlab.train.tasks.{params.read(ROOT / study / 'params.yaml').task}"}
    for recipe in recipes(study).values():
        names |= {PHASES if recipe.phases else FIT, f"cnnlab.recipe.nets.{recipe.net}"}
        names |= {f"cnnlab.recipe.techniques.{name}" for name in recipe.techniques}
    return dict(sorted(code(sorted(names)).items()))


def marks(folder):
    """What the study at the root trains from random weights: variant -> its mark."""
    whole = params.read(ROOT / "params.yaml")
    dev = pool.read(folder / paths.PREPARED / "dev")
    split = folds.make(dev.manifest, whole.folds.k, whole.folds.repeats, whole.seed)
    made = {}
    for name, recipe in recipes(".").items():
        if not recipe.phases:  # others depend on the bytes of a backbone
            job = Job(name, recipe, dev, split, whole.train.members, whole.seed, device.cpu())
            made[name] = digest(planned.mark for planned in job.plan())
    return made


@pytest.mark.parametrize("study", STUDIES)
def test_the_code_that_trained_a_committed_study_is_the_same(study):
    then, now = json.loads(TRAINED.read_text())["code"][study], modules(study)
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    assert not changed, "changed since the study was trained: its trials would be trained again"


def test_the_marks_of_the_committed_digits_are_what_would_be_trained_now(tmp_path, monkeypatch):
    then = json.loads(TRAINED.read_text())
    here = {"device": device.cpu(), "versions": versions()}
    there = {name: then[name] for name in here}
    if here != there:
        pytest.skip(f"the digits were trained on {there}, this is {here}: other marks")
    from stages import prepare

    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    prepare.main()
    rows = pd.read_csv(ROOT / paths.RECORDS, dtype=str)
    committed = dict(zip(rows["name"], rows["mark"], strict=True))
    made = marks(tmp_path)
    assert len(made) > 10
    assert {name: committed[name] for name in made} == made


def rewritten():
    """Module -> digest of its code -> what it computes as, of all that the committed studies were
    trained by, with nothing said so far."""
    SAME.write_text("{}")
    then = {name: digest for of in json.loads(TRAINED.read_text())["code"].values()
            for name, digest in of.items()}  # fmt: skip
    now = {name: digest for study in STUDIES for name, digest in modules(study).items()}
    lost = sorted(then.keys() - now.keys())
    if lost:
        raise SystemExit(f"no longer there, so not the same: {', '.join(lost)}")
    changed = sorted(name for name in now if now[name] != then.get(name))
    return {name: {now[name]: then.get(name)} for name in changed}


def test_what_is_said_of_rewritten_code_is_of_the_code_that_is_there():
    said = json.loads(SAME.read_text())
    every = {name for study in STUDIES for name in json.loads(TRAINED.read_text())["code"][study]}
    for name, digests in said.items():
        assert _digest(name) in digests, f"{SAME}: {name} is other code by now"
        assert name in every or None in digests.values()


if __name__ == "__main__":
    os.chdir(ROOT)
    if sys.argv[1:] == ["same"]:
        SAME.write_text(json.dumps(rewritten(), indent=1) + "\n")
        sys.exit()
    text = json.dumps(
        {
            "device": device.cpu(),
            "versions": versions(),
            "code": {study: modules(study) for study in STUDIES},
        },
        indent=2,
    )
    TRAINED.write_text(text + "\n")
