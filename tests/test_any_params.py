"""Any params that `check` accepts end in a report: subsets of techniques, starts and sizes, with or
without a placebo and further repeats, drawn at random. Records are made up, so that all the rest of
the pipeline can run on many."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from cnnlab import params, paths, records, tracking
from cnnlab.compare import designs
from cnnlab.data import findings, folds
from cnnlab.errors import UserError
from cnnlab.records import Record, Trial
from stages import check, compare, curves, decide, inspect, report, screen

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
    placebo = bool(rng.integers(2))
    sets = designs.sets_of(kind, techniques, starts, 3, placebo)
    sets += [frozenset(some(rng, [*TECHNIQUES, "freeze"])) for _ in range(rng.integers(0, 3))]
    variants = {f"v{i}": sorted(on) for i, on in enumerate(dict.fromkeys(sets))}
    groups = {"train": {}, "transfer": {}}
    for name, on in variants.items():
        groups["transfer" if {"freeze", "finetune"} & set(on) else "train"][name] = on
    if not groups["transfer"]:
        content["data"]["pretrain"]["task"] = None
    names = list(variants)
    content["variants"] = groups
    content["design"] = {"kind": kind, "techniques": techniques, "starts": starts}
    content["design"] |= {"resolution": 3, "placebo": placebo}
    content["sizes"].update(per_class=[[], [2], [2, 3]][rng.integers(3)], variants=some(rng, names))
    content["compare"].update(draws=100, order=int(rng.integers(1, 4)), pairs=[])
    if len(names) > 1 and rng.integers(2):
        content["compare"]["pairs"] = [names[:2]]
    content["compare"]["metric"] = str(rng.choice(["accuracy", "nll", "mcc"]))
    content["compare"]["estimate"] = str(rng.choice(["crossed", "corrected_t"], p=[0.7, 0.3]))
    content["final"]["rule"] = str(rng.choice(["best", "simplest"]))
    content["train"]["members"] = int(rng.integers(1, 3))
    repeats = int(rng.integers(1, 3))
    content["folds"].update(k=2, repeats=repeats)
    content["decide"]["max_repeats"] = [None, repeats + 2][rng.integers(2)]
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
            write_some(folder, name, split, whole.train.members, dev, rng)
            records.write_model(folder, model)


def write_some(folder, name, split, members, dev, rng):
    """Records of a variant, of these folds."""
    folder.mkdir(parents=True, exist_ok=True)
    for (repeat, fold), rows in split.groupby(["repeat", "fold"]):
        for member in range(members):
            trial = Trial(name, int(repeat), int(fold), member)
            labels = dev.labels[np.isin(dev.manifest["image_id"], rows["image_id"])]
            records.write(folder, guess(trial, rows["image_id"], labels, rng))


def trained(jobs, execution, study, kind, title):
    """Stands for training: writes what is missing of some variants' further repeats."""
    rng = np.random.default_rng(1)
    for folder, job in jobs.items():
        assert folder == paths.DECIDED / job.name
        new = job.folds[~job.folds["repeat"].isin(repeats_in(folder))]
        assert new["repeat"].nunique() == 1  # one look after another
        write_some(folder, job.name, new, job.members, job.pool, rng)


def screened(jobs, execution, study, kind, title):
    """Stands for training of what is screened."""
    rng, done = np.random.default_rng(2), {}
    for folder, job in jobs.items():
        assert folder == paths.SCREENED / job.name
        assert job.recipe.frozen and job.recipe.features is not None  # seconds a trial
        write_some(folder, job.name, job.folds, job.members, job.pool, rng)
        done[job.name] = records.read_all(folder)
    return done


def repeats_in(folder):
    """The repeats that a folder has records of."""
    return {int(path.name[1:].split("_")[0]) for path in folder.glob("r*.json")}


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
        outputs=shares,
    )


def write_rest(whole, model):
    """What stages that this test leaves out would have written."""
    images = {"dev": 12, "pretrain": 4, "test": 3}
    facts = {"shape": [8, 8, 1], "classes": ["2", "9", "10"], "images": images}
    facts |= {"pretrain_task": "rotation", "pretrain_classes": [], "pretrain_source": None}
    paths.REPORTS.mkdir()
    paths.DATA_FACTS.write_text(json.dumps(facts))
    paths.DATA_REPORT.write_text("# Data\n")
    paths.DATA_FINDINGS.parent.mkdir()
    findings.write(paths.DATA_FINDINGS, findings.table([], []))
    for folder in ("features", "kernels", "peaks", "gradcam", "overview", "sheets/features"):
        (paths.FIGURES / folder).mkdir(parents=True)
    (paths.FIGURES / "affinity.csv").write_text("technique,net,accuracy,augmented\n")
    if whole.variants.transfer:
        paths.BACKBONE.mkdir()
        records.write_model(paths.BACKBONE, model)
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


@pytest.fixture
def studied(tmp_path, monkeypatch, pool_in, model):
    """Makes a study in the current folder, up to its records."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data/raw", "data/raw_pretrain"):
        Path(folder).mkdir(parents=True)
    no_run = contextlib.nullcontext(NoRun())
    monkeypatch.setattr(tracking, "Run", lambda *_, **__: no_run)
    monkeypatch.setattr(decide, "run_all_observed", trained)
    monkeypatch.setattr(screen, "run_all_observed", screened)

    def make(seed, draw=accepted):
        whole = draw(np.random.default_rng(seed))
        dev = pool_in(paths.PREPARED / "dev")
        folds.write(paths.FOLDS, folds.make(dev.manifest, 2, whole.folds.repeats, whole.seed))
        write_records(whole, dev, model)
        write_rest(whole, model)
        return whole

    return make


@pytest.mark.parametrize("seed", range(12))
def test_what_check_accepts_ends_in_a_report(seed, studied):
    whole = studied(seed)
    for stage in (screen, decide, compare, inspect, curves, report):
        stage.main()
    text = (paths.REPORTS / "report.md").read_text()
    first = (paths.SCREEN / "screening.md").read_text()
    used = {name for on in whole.variants.every.values() for name in on}
    acting = used & {"dropout", "l1", "l2"} if whole.variants.transfer else set()
    assert ("Nothing was screened" in first) == (not acting)
    assert {name for name in used if f"| **{name}** |" in first} == acting
    assert not acting or all(f"- {name}: " in first for name in used & {"augment", "batchnorm"})
    for name in whole.variants.every:
        assert f"**{name}**" in text
    assert ("Against the size" in text) == bool(whole.sizes.per_class and whole.sizes.variants)
    assert not {"nan", "NaN"} & set(text.replace("|", " ").split())
    assert (paths.REPORTS / "report.html").stat().st_size > 10_000
    losses = pd.read_csv(paths.LOSSES)
    assert (
        sorted(losses["image_id"]) == list(range(0, 120, 10))
        and losses["loss"].is_monotonic_decreasing
    )
    assert len(findings.read(paths.ALL_FINDINGS)) == losses["suspect"].sum()


# Further repeats ----------------------------------------------------------------------------------


def star(rng, **changes):
    """The params of a star of two techniques beside a start, `changes` by key."""
    content = YAML(typ="safe").load(FROZEN.read_text())
    content["design"].update(techniques=["dropout", "l2"])
    content["variants"]["train"] = {
        **{"baseline": [], "placebo": ["placebo"], "dropout": ["dropout"], "l2": ["l2"]},
        "all": ["dropout", "l2"],
    }
    content["compare"].update(draws=100)
    content["folds"].update(k=2, repeats=2)
    content["decide"].update(max_repeats=5)
    content["visualize"].update(variants=["baseline"], images=1)
    content["sizes"].update(per_class=[])
    for key, value in changes.items():
        group, name = key.split("__")
        content[group][name] = value
    with params.FILE.open("w") as file:
        YAML().dump(content, file)
    check.main()
    return params.read()


@pytest.fixture
def many_images(monkeypatch):
    """Twelve images are too few for any verdict; here they are enough."""
    from cnnlab.compare import inference

    monkeypatch.setattr(inference, "FEWEST_IMAGES", 3)


def added():
    """Variant -> its further repeats."""
    return {path.name: repeats_in(path) for path in paths.DECIDED.iterdir()}


def test_repeats_are_added_to_the_variants_of_open_effects_alone(studied, many_images, capsys):
    studied(0, lambda rng: star(rng, compare__pairs=[["freeze", "baseline"]]))
    decide.main()
    variants = {"baseline", "dropout", "l2", "all", "freeze", "finetune"}  # not the placebo
    assert set(added()) <= variants and added()
    for repeats in added().values():
        assert repeats == set(range(2, 2 + len(repeats))) and max(repeats) < 5
    said = capsys.readouterr().out
    table = compared()
    for kind in ("main", "start", "pair"):
        for row in table[table["kind"] == kind].to_dict("records"):
            told = f"{row['technique']}: {row['verdict']} after {row['repeats']} repeats"
            assert f"decide: {told}" in said
            assert row["repeats"] == 2 + row["look"] - 1 or row["verdict"] != "undecided"


def compared():
    """The table of effects on the primary metric, made by the stage."""
    compare.main()
    table = pd.read_csv(paths.REPORTS / "ablation.csv", keep_default_na=False)
    return table[table["metric"] == "accuracy"]


def test_few_images_are_told_to_be_too_few_and_nothing_is_trained(studied):
    studied(0, star)
    decide.main()
    assert added() == {}
    main = compared().query("kind == 'main'")
    assert set(main["why"]) == {"fewer than 20 images"}


def test_without_looks_there_are_no_further_repeats_and_old_ones_go(studied, many_images):
    studied(0, star)
    decide.main()
    assert added()
    change(decide__max_repeats=None)
    decide.main()
    assert added() == {}
    assert set(compared()["look"]) == {0}


def test_a_second_run_trains_nothing_and_a_smaller_most_takes_repeats_away(
    studied, many_images, monkeypatch
):
    studied(0, star)
    decide.main()
    first = added()
    assert any(first.values())
    monkeypatch.setattr(decide, "run_all_observed", kept)
    decide.main()
    assert added() == first
    change(decide__max_repeats=3)
    decide.main()
    assert all(repeats <= {2} for repeats in added().values())


def kept(jobs, execution, study, kind, title):
    """Stands for training where all records are there."""
    for folder, job in jobs.items():
        assert set(job.folds["repeat"]) <= repeats_in(folder)


def test_where_all_is_decided_at_once_nothing_is_trained_and_old_repeats_go(
    studied, many_images, monkeypatch
):
    studied(0, star)
    decide.main()
    assert any(added().values())
    change(compare__rope={**dict(params.read().compare.rope), "accuracy": 0.9})
    monkeypatch.setattr(decide, "run_all_observed", None)
    decide.main()
    assert not any(added().values())
    main = compared().query("kind == 'main'")
    assert set(main["verdict"]) == {"no practical difference"} and set(main["repeats"]) == {2}


def change(**changes):
    """Other values of some keys of params.yaml."""
    content = YAML(typ="safe").load(params.FILE.read_text())
    for key, value in changes.items():
        group, name = key.split("__")
        content[group][name] = value
    with params.FILE.open("w") as file:
        YAML().dump(content, file)
