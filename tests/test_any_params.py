"""Any params that `check` accepts end in a report: subsets of techniques, starts and sizes, drawn
at random. Records are made up, so that all the rest of the pipeline can run on many."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from cnnlab import params, paths, records, tracking
from cnnlab.compare import designs
from cnnlab.data import folds
from cnnlab.errors import UserError
from cnnlab.records import Record, Trial
from stages import check, compare, curves, report

TECHNIQUES = ["augment", "batchnorm", "dropout", "l1", "l2"]
STARTS = ["scratch", "freeze", "finetune"]
FROZEN = Path(__file__).parent / "params.yaml"


def some(rng, names, least=0):
    """Some of the names, at least so many, in their order."""
    picks = rng.choice(len(names), rng.integers(least, len(names) + 1), replace=False)
    return [names[i] for i in sorted(picks)]


def drawn(rng):
    """A params.yaml at random. Not all are valid."""
    content = YAML(typ="safe").load(FROZEN.read_text())
    kind = str(rng.choice(["star", "factorial", "fraction", "custom"]))
    techniques, starts = some(rng, TECHNIQUES[: rng.integers(1, 4)]), some(rng, STARTS, 1)
    sets = designs.sets_of(kind, techniques, starts, 3)
    sets += [frozenset(some(rng, [*TECHNIQUES, "freeze"])) for _ in range(rng.integers(0, 3))]
    variants = {f"v{i}": sorted(on) for i, on in enumerate(dict.fromkeys(sets))}
    groups = {"train": {}, "transfer": {}}
    for name, on in variants.items():
        groups["transfer" if {"freeze", "finetune"} & set(on) else "train"][name] = on
    if not groups["transfer"]:
        content["data"]["pretrain"]["task"] = None
    names = list(variants)
    content["variants"] = groups
    content["design"] = {"kind": kind, "techniques": techniques, "starts": starts, "resolution": 3}
    content["sizes"].update(per_class=[[], [2], [2, 3]][rng.integers(3)], variants=some(rng, names))
    content["compare"].update(draws=100, order=int(rng.integers(1, 4)), pairs=[])
    if len(names) > 1 and rng.integers(2):
        content["compare"]["pairs"] = [names[:2]]
    content["compare"]["metric"] = str(rng.choice(["accuracy", "nll", "mcc"]))
    content["final"]["rule"] = str(rng.choice(["best", "simplest"]))
    content["train"]["members"] = int(rng.integers(1, 3))
    content["folds"].update(k=2, repeats=int(rng.integers(1, 3)))
    content["visualize"].update(variants=names[:1], images=1)
    return content


def accepted(rng):
    """Params that `check` accepts, written to params.yaml; returned as they are read."""
    for _ in range(200):
        with params.FILE.open("w") as file:
            YAML().dump(drawn(rng), file)
        try:
            check.main()
        except UserError:
            continue
        return params.read()
    raise AssertionError("none of 200 was accepted")


def write_records(whole, dev, model):
    """Records of every trial, of networks that guess."""
    rng = np.random.default_rng(0)
    split = folds.read(paths.FOLDS)
    for name in whole.variants.every:
        sizes = [None, *(whole.sizes.per_class if name in whole.sizes.variants else ())]
        for size in sizes:
            folder = records.of_size(paths.RUNS / name, size)
            folder.mkdir(parents=True, exist_ok=True)
            records.write_model(folder, model)
            for (repeat, fold), rows in split.groupby(["repeat", "fold"]):
                for member in range(whole.train.members):
                    trial = Trial(name, int(repeat), int(fold), member)
                    labels = dev.labels[np.isin(dev.manifest["image_id"], rows["image_id"])]
                    records.write(folder, guess(trial, rows["image_id"], labels, rng))


def guess(trial, images, labels, rng):
    shares = rng.dirichlet([1, 1, 1], len(labels)).astype(np.float32)
    entry = {"objective": 1.0, "train_accuracy": 0.9, "train_nll": 0.3}
    entry |= {"accuracy": float(rng.random()), "nll": float(rng.random() + 0.1)}
    inside = ["weight_norm", "weight_gini", "weight_near_zero", "largest_filter_norm"]
    inside += ["unit_correlation", "dead_units", "preactivation_drift"]
    measured = {k: v for k, v in entry.items() if k != "objective"}
    return Record(
        trial=trial,
        fingerprint=trial.variant,
        seed=1,
        n_train=6,
        history=[{"epoch": epoch, **entry} for epoch in (1, 2)],
        measured=measured | {name: float(rng.random()) for name in inside},
        preactivations={"conv1_1": rng.random((2, 2)).astype(np.float32)},
        image_id=images.to_numpy(),
        labels=labels,
        probabilities=shares,
    )


def write_rest(whole, model):
    """What stages that this test leaves out would have written."""
    images = {"dev": 12, "pretrain": 4, "test": 3}
    facts = {"shape": [8, 8, 1], "classes": ["2", "9", "10"], "images": images}
    facts |= {"pretrain_task": "rotation", "pretrain_classes": [], "pretrain_source": None}
    paths.REPORTS.mkdir()
    paths.DATA_FACTS.write_text(json.dumps(facts))
    paths.DATA_REPORT.write_text("# Data\n")
    for folder in ("features", "kernels", "peaks", "gradcam", "overview", "sheets/features"):
        (paths.FIGURES / folder).mkdir(parents=True)
    (paths.FIGURES / "affinity.csv").write_text("technique,net,accuracy,augmented\n")
    if whole.variants.transfer:
        paths.BACKBONE.mkdir()
        labels = np.arange(4) % 3
        trial, rng = Trial("backbone", 0, 0, 0), np.random.default_rng(0)
        images = folds.read(paths.FOLDS)["image_id"][:4]
        records.write(paths.BACKBONE, guess(trial, images, labels, rng))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of a saved network."""
    import keras

    path = tmp_path_factory.mktemp("net") / records.MODEL
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    records.save_model(keras.Sequential(layers), path)
    return path.read_bytes()


class NoRun:
    """Stands for MLflow."""

    def __init__(self, *_, **__):
        pass

    def __getattr__(self, name):
        return lambda *_: None


@pytest.mark.parametrize("seed", range(12))
def test_what_check_accepts_ends_in_a_report(seed, tmp_path, monkeypatch, pool_in, model):
    monkeypatch.chdir(tmp_path)
    no_run = contextlib.nullcontext(NoRun())
    monkeypatch.setattr(tracking, "Run", lambda *_, **__: no_run)
    whole = accepted(np.random.default_rng(seed))
    dev = pool_in(paths.PREPARED / "dev")
    folds.write(paths.FOLDS, folds.make(dev.manifest, 2, whole.folds.repeats, whole.seed))
    write_records(whole, dev, model)
    write_rest(whole, model)
    for stage in (compare, curves, report):
        stage.main()
    text = (paths.REPORTS / "report.md").read_text()
    for name in whole.variants.every:
        assert f"**{name}**" in text
    assert ("Against the size" in text) == bool(whole.sizes.per_class and whole.sizes.variants)
    assert not {"nan", "NaN"} & set(text.replace("|", " ").split())
    assert (paths.REPORTS / "report.html").stat().st_size > 10_000
