"""A small study, end to end, through DVC in a temporary clone with a real MLflow store."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from ruamel.yaml import YAML

from cnnlab import new_study, records
from cnnlab.data import pool

ROOT = Path(__file__).parents[1]

MODEL = "models/model.keras"
STORES = ("mlflow.db", "late.db")

# Writes each file that a stage opens, and how, to $OPENED/STAGE.
WATCH = """
# ruff: noqa
# fmt: off
import os, sys
if "OPENED" in os.environ and "DVC_STAGE" in os.environ:
    log = open(os.path.join(os.environ["OPENED"], os.environ["DVC_STAGE"]), "a", buffering=1)
    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            log.write(f"{'w' if writes else 'r'} {os.path.abspath(os.fsdecode(arguments[0]))}\\n")
    sys.addaudithook(hook)
"""


def shrink(path):
    """The frozen params, made a matter of seconds; all that the stages do stays in."""
    yaml = YAML()
    p = yaml.load(ROOT / "tests/params.yaml")
    p["data"].update(classes=["0", "1", "2"], dev_per_class=8, test_per_class=5)
    p["data"]["pretrain"].update(per_class=20)
    p["folds"].update(k=2, repeats=1)
    p["model"]["vgg"].update(filters=[4, 4], convs=1, dense=[8])
    p["train"].update(epochs=2, batch_size=8, learning_rate=0.02)  # as soon as it can
    p["execution"]["workers"] = 1
    p["design"].update(kind="factorial", techniques=["augment", "dropout"], starts=["scratch"])
    variants = {"baseline": [], "dropout": ["dropout"], "augment": ["augment"]}
    variants["both"] = ["augment", "dropout"]  # every set of two techniques
    variants["placebo"] = ["placebo"]
    p["variants"] = {"train": variants, "transfer": {"freeze": ["freeze"]}}
    p["compare"].update(draws=200, pairs=[["augment", "dropout"]])
    p["decide"]["max_repeats"] = 2
    p["backbone"]["epochs"] = 2
    p["techniques"]["freeze"]["epochs"] = 2
    p["sizes"].update(per_class=[2], steps=4, variants=["baseline", "freeze"])
    p["visualize"].update(variants=["baseline", "both", "freeze", "recommended"], images=1)
    yaml.dump(p, path)


class Clone:
    """A clone of this working tree, and how to run commands in it."""

    def __init__(self, root):
        self.root = root
        listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode()
        for name in filter(None, names.split("\0")):
            if (ROOT / name).exists() and not name.startswith(("studies/", "reports/")):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
        (root / "dvc.lock").unlink(missing_ok=True)
        with (root / "stages/__init__.py").open("a") as code:
            code.write(WATCH)
        (root / "opened").mkdir()
        (root / ".git/info").mkdir(parents=True)
        (root / ".git/info/exclude").write_text("opened\n")
        shrink(root / "params.yaml")
        self.run("git", "init", "-q", "-b", "main")
        # For `dvc exp run` too, which says no more than that there is none (`make setup` says what
        # to do): a machine where Git knows no user runs these tests as well.
        self.run("git", "config", "user.name", "t")
        self.run("git", "config", "user.email", "t@example.org")
        self.commit()

    def commit(self):
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", "x")

    def environment(self):
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DVC"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        watch = {"PYTHONPATH": str(self.root), "OPENED": str(self.root / "opened")}
        return {**inherited, **watch, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull}

    def run(self, *command, study=".", fails=False, **variables):
        environment = self.environment() | variables
        done = subprocess.run(
            command, cwd=self.root / study, env=environment, capture_output=True, text=True
        )
        assert (done.returncode != 0) == fails, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout + done.stderr

    def params(self, study="."):
        return YAML(typ="safe").load(self.root / study / "params.yaml")

    def variants(self):
        groups = self.params()["variants"]
        return [*groups["train"], *groups["transfer"]]

    def runs(self, study, store="mlflow.db", **tags):
        client = MlflowClient(f"sqlite:///{self.root}/{store}")
        experiment = client.get_experiment_by_name(study)
        text = " and ".join(f"tags.`{k}` = '{v}'" for k, v in tags.items())
        return client.search_runs([experiment.experiment_id], text, max_results=1000)

    def figures(self, study, store="mlflow.db"):
        """Paths of all figures in MLflow, below the folders of their runs' artifacts."""
        roots = [Path(r.info.artifact_uri.removeprefix("file://")) for r in self.runs(study, store)]
        return [p.relative_to(root).as_posix() for root in roots for p in root.rglob("*.png")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    made = Clone(tmp_path_factory.mktemp("clone"))
    made.run("dvc", "repro")
    return made


def test_everything_is_made_and_nothing_is_left_over(clone):
    status = clone.run("git", "status", "--short", "--untracked-files=all").splitlines()
    new = {line[3:] for line in status}
    assert all(name == "dvc.lock" or name.startswith("reports/") for name in new), new
    assert "up to date" in clone.run("dvc", "status")
    report = (clone.root / "reports/report.md").read_text()
    for name in clone.variants():
        assert f"**{name}**" in report
    links = re.findall(r"\]\(([^)]+\.png)\)", report)
    assert len(links) > 10
    for link in links:
        size = (clone.root / "reports" / link).stat().st_size
        assert 0 < size < 1_000_000
    assert "nan" not in report.lower().split()


def test_stages_open_the_files_that_dvc_yaml_lists(clone):
    lock = YAML(typ="safe").load(clone.root / "dvc.lock")["stages"]
    for name, stage in lock.items():
        deps = [d["path"] for d in stage.get("deps", [])]
        outs = [o["path"] for o in stage.get("outs", [])]
        opened = {"r": set(), "w": set()}
        for line in (clone.root / "opened" / name).read_text().splitlines():
            how, path = line.split(" ", 1)
            if path.startswith(f"{clone.root}/data/features/"):
                continue  # a cache, whose file names are digests of all that decides their content
            if path.startswith(tuple(f"{clone.root}/{d}/" for d in ("data", "models", "reports"))):
                opened[how].add(path.removeprefix(f"{clone.root}/"))
        # Stored features are a cache, whose files are named by all that decides their content.
        cache = ["data/features"] if name.startswith(("transfer@", "final")) else []
        inside = {
            how: lambda p, of=of: any(p == d or p.startswith(f"{d}/") for d in of)
            for how, of in (("r", deps + outs + cache), ("w", outs + cache))
        }
        for how in opened:
            assert {p for p in opened[how] if not inside[how](p)} == set(), (name, how)
        for dep in deps:
            # Digits come with scikit-learn, and `final` reads what the recommended variant needs
            # and has.
            unread = {"data/raw", "data/raw_pretrain", "data/checked"}
            unread |= {"data/backbone", "data/decided"} if name == "final" else set()
            if dep.startswith(("data/", "reports/")) and dep not in unread:
                read = [p for p in opened["r"] if p == dep or p.startswith(f"{dep}/")]
                assert read, f"{name} lists {dep} and does not read it"


def test_again_is_nothing_to_do(clone):
    began = time.monotonic()
    said = clone.run("dvc", "repro")
    assert "up to date" in said and "Running stage" not in said
    assert time.monotonic() - began < 20


def test_mlflow_shows_variants_with_their_trials(clone):
    """And with the scores of the report, in which all repeats have a part."""
    table = pd.read_csv(clone.root / "reports/compare/ablation_scores.csv", index_col="name")
    scores = table["accuracy"]
    for name in clone.variants():
        (parent,) = clone.runs("digits", variant=name, **{"cnnlab.kind": "variant"})
        trials = clone.runs("digits", **{"mlflow.parentRunId": parent.info.run_id})
        assert sorted(r.data.tags["fold"] for r in trials) == ["0", "1"]
        assert parent.data.metrics["accuracy"] == pytest.approx(scores[name], rel=1e-5)
        assert {"accuracy_sd", "accuracy_low"} <= set(parent.data.metrics)
        assert parent.data.params["epochs"] == "2"
        assert parent.data.tags["git_commit"] == clone.run("git", "rev-parse", "HEAD").strip()
        assert parent.inputs.dataset_inputs and parent.outputs.model_outputs
        assert parent.info.status == "FINISHED"
    client = MlflowClient(f"sqlite:///{clone.root}/mlflow.db")
    history = client.get_metric_history(trials[0].info.run_id, "nll")
    assert [m.step for m in history] == [1, 2]
    (drawn,) = clone.runs("digits", variant="both", **{"cnnlab.kind": "variant"})
    artifacts = [a.path for a in client.list_artifacts(drawn.info.run_id, "figures")]
    assert len(artifacts) > 3


def test_every_figure_is_in_mlflow_once_under_its_path(clone):
    reports = clone.root / "reports"
    drawn = [p.relative_to(reports).as_posix() for p in reports.rglob("*.png")]
    sheets = [path for path in drawn if path.startswith("figures/sheets/")]  # in report.html
    assert len(drawn) - len(sheets) > 30
    assert sorted(clone.figures("digits")) == sorted(set(drawn) - set(sheets))


def test_the_recommended_variant_is_trained_on_all_dev_images_and_evaluated_on_test(clone):
    facts = json.loads((clone.root / "reports/final.json").read_text())
    candidates = pd.read_csv(clone.root / "reports/compare/recommended.csv")
    assert [facts["recommended"]] == candidates["name"][candidates["recommended"]].to_list()
    record = json.loads((clone.root / "models/r0_f0_m0.json").read_text())
    test = pool.read(clone.root / "data/prepared/test")
    assert (record["n_train"], len(test.manifest)) == (3 * 8, 3 * 5)
    network = records.load_model(clone.root / "models/model.keras")
    logits = network(np.asarray(test.images, np.float32), training=False)
    right = int((np.asarray(logits).argmax(axis=1) == test.labels).sum())
    scores = facts["test"]
    assert scores["accuracy"] == pytest.approx(right / 15, abs=1e-6)
    assert scores["accuracy_low"] < scores["accuracy"] < scores["accuracy_high"]
    line = f"{right} of 15 right"
    for page in ("report.md", "final.md", "model_card.md"):
        text = (clone.root / "reports" / page).read_text()
        assert line in text and f"**{facts['recommended']}** is recommended" in text
    (run,) = [r for r in clone.runs("digits", variant="final") if "fold" not in r.data.tags]
    assert run.data.metrics["test_accuracy"] == pytest.approx(scores["accuracy"], abs=1e-6)
    assert "accuracy" not in run.data.metrics  # nothing judged it while it was trained
    client = MlflowClient(f"sqlite:///{clone.root}/mlflow.db")
    assert client.get_model_version_by_alias("digits", "champion").run_id == run.info.run_id


def test_predict_says_what_is_in_an_image_file(clone):
    test = pool.read(clone.root / "data/prepared/test")
    Image.fromarray(test.images[0, ..., 0]).resize((64, 64)).save(clone.root / "opened/a digit.png")
    said = clone.run(sys.executable, "-m", "cnnlab.predict", "opened/a digit.png")
    assert len(re.findall(r"[0-9.]+%", said)) == 3
    assert (clone.root / "predictions/a digit.png").stat().st_size > 1000
    said = clone.run(sys.executable, "-m", "cnnlab.predict", "gone.png", fails=True)
    assert said.strip().endswith("error: gone.png: No such file or directory")


def test_make_track_logs_what_a_store_lacks_each_run_once(clone):
    def files():
        kept = [*clone.root.glob("data/**/*.*"), *clone.root.glob("reports/**/*.*")]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept}

    before = {path: content for path, (_, content) in files().items()}
    trained = {p: t for p, (t, _) in files().items() if p.match("r*.json")}
    away = {"MLFLOW_TRACKING_URI": f"sqlite:///{clone.root}/late.db"}
    for _ in range(2):
        clone.run(sys.executable, "-m", "cnnlab.track", **away)
        names = [sorted(r.info.run_name for r in clone.runs("digits", s)) for s in STORES]
        assert names[0] == names[1]
        drawn = [sorted(clone.figures("digits", s)) for s in STORES]
        assert drawn[0] == drawn[1]
    after = files()
    assert before == {path: content for path, (_, content) in after.items()}
    assert trained == {p: after[p][0] for p in trained}


def test_another_study_beside_it_gives_the_same_and_touches_nothing(clone):
    def all_of(folder):
        return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    before = all_of(clone.root / "reports")
    runs = len(clone.runs("digits"))
    new_study.create(clone.root, "second")
    clone.run("dvc", "repro", study="studies/second")
    assert all_of(clone.root / "reports") == before and len(clone.runs("digits")) == runs
    assert len(clone.runs("second")) == runs
    client = MlflowClient(f"sqlite:///{clone.root}/mlflow.db")
    assert client.get_model_version_by_alias("second", "champion")
    assert not (clone.root / "studies/second/mlflow.db").exists()
    # Two clean runs of equal params: equal outputs, to the byte; only the name differs.
    locks = [(clone.root / d / "dvc.lock").read_text() for d in (".", "studies/second")]
    first, second = (YAML(typ="safe").load(lock)["stages"] for lock in locks)
    assert first.keys() == second.keys()
    for name in first:
        for one, other in zip(
            first[name].get("outs", []),
            second[name].get("outs", []),
            strict=True,
        ):
            named = (
                *("report.md", "report.html", "screen", "compare", "findings", "curves"),
                *("final", "final.md", "model_card.md"),
            )
            if one["path"] not in [f"reports/{n}" for n in named]:  # they say the study's name
                assert one == other, name


def test_a_model_that_began_at_a_backbone_is_taken_home(clone):
    """Only variants that begin at the backbone, so that one of them is recommended."""
    study = clone.root / "studies/home"
    new_study.create(clone.root, "home")
    p = clone.params("studies/home")
    p["variants"] = {"train": {}, "transfer": {"freeze": ["freeze"], "tuned": ["finetune"]}}
    p["techniques"]["finetune"]["epochs"] = 2
    p["design"].update(kind="custom", techniques=[], starts=["freeze", "finetune"])
    p["compare"]["pairs"] = []
    p["sizes"].update(per_class=[], variants=[])
    p["visualize"]["variants"] = ["tuned"]
    YAML().dump(p, study / "params.yaml")
    clone.run("dvc", "repro", "final", study="studies/home")
    name = json.loads((study / "reports/final.json").read_text())["recommended"]
    card = (study / "reports/model_card.md").read_text()
    assert name in ("freeze", "tuned") and "the weights of the backbone" in card
    effects = pd.read_csv(study / "reports/ablation.csv")
    starts = effects[effects["kind"] == "start"]
    assert set(starts["technique"]) == {"finetune - freeze"}
    # What was learnt before is in the network that is taken home.
    backbone, taken = (records.load_model(study / f) for f in ("data/backbone/model.keras", MODEL))
    same = [
        np.array_equal(a, b)
        for layer in ("conv1_1", "conv2_1")
        for a, b in zip(
            backbone.get_layer(layer).get_weights(),
            taken.get_layer(layer).get_weights(),
            strict=True,
        )
    ]
    assert all(same) if name == "freeze" else not any(same[::2])
    test = pool.read(study / "data/prepared/test")
    Image.fromarray(test.images[0, ..., 0]).save(clone.root / "opened/digit.png")
    python = (sys.executable, "-m", "cnnlab.predict")
    answer = clone.run(*python, "--model", "studies/home/models", "opened/digit.png")
    assert len(re.findall(r"[0-9.]+%", answer)) == 3
    client = MlflowClient(f"sqlite:///{clone.root}/mlflow.db")
    version = client.get_model_version_by_alias("home", "champion")
    assert version.tags["cnnlab.kind"] == "final"
    served = mlflow.pyfunc.load_model(client.get_model_version_download_uri("home", "1"))
    images = np.asarray(test.images[:5], np.float32)
    temperature = json.loads((study / "models/usage.json").read_text())["temperature"]
    logits = np.asarray(taken(images, training=False)) / temperature
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    said = served.predict(images)
    np.testing.assert_allclose(said.iloc[:, :-2], shares, rtol=1e-4, atol=1e-5)
    asked = ("--model", "studies/home/models", "--json", "opened/digit.png")
    (told,) = json.loads(clone.run(*python, *asked))
    assert said["set"][0] == told["set"]
    assert said["unlike"][0] == pytest.approx(told["unlike"], abs=2e-3)
    clone.run("git", "add", "-A", "studies/home")
    clone.commit()
    comment = clone.run(
        sys.executable, "-m", "cnnlab.pull_request", "--base", "HEAD~1", "--head", "HEAD"
    )
    assert "### home" in comment
    target = clone.root / "opened/taken.keras"
    clone.run("dvc", "get", ".", "studies/home/models/model.keras", "-o", str(target))
    assert target.read_bytes() == (study / "models/model.keras").read_bytes()
    shutil.rmtree(study)
    clone.commit()


def test_experiments_work_in_place_and_queued_and_log_to_one_store(clone):
    clone.commit()
    study = "studies/second"
    one = ["train@dropout"]  # test_docs.py runs a whole study as an experiment
    clone.run("dvc", "exp", "run", "-n", "longer", "-S", "train.epochs=3", *one, study=study)
    assert clone.params(study)["train"]["epochs"] == 3
    assert clone.params()["train"]["epochs"] == 2
    queued = ["--queue", "-n", "queued", "-S", "train.epochs=4"]
    clone.run("dvc", "exp", "run", *queued, *one, study=study)
    (clone.root / "stages/train.py").write_text("raise SystemExit('not what was queued')")
    clone.run("dvc", "queue", "start", study=study)
    for _ in range(60):
        said = clone.run("dvc", "queue", "status", study=study)
        if "Success" in said or "Failed" in said:
            break
        time.sleep(4)  # asking takes a core for longer than a second
    assert "Success" in said, clone.run("dvc", "queue", "logs", "queued", study=study)
    for name, epochs in (("longer", 3), ("queued", 4)):
        runs = clone.runs("second", dvc_exp=name, variant="dropout")
        assert {r.data.params["epochs"] for r in runs if "fold" not in r.data.tags} == {str(epochs)}
    clone.run("git", "checkout", "-q", ".")
    # A value that was tried before changes its line alone, too.
    clone.run("dvc", "exp", "run", "-S", "train.epochs=3", "check", study=study)
    added = clone.run("git", "diff", "--numstat", "params.yaml", study=study).split()
    assert added[:2] == ["1", "1"]
    clone.run("git", "checkout", "-q", ".")


def test_killed_and_run_again_it_goes_on_and_ends_the_same(clone):
    study = clone.root / "studies/killed"
    new_study.create(clone.root, "killed")
    p = YAML(typ="safe").load(study / "params.yaml")
    p["train"]["epochs"] = 40
    YAML().dump(p, study / "params.yaml")
    for name in ("data/prepared", "data/folds.csv"):
        source, target = clone.root / name, study / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    train = [sys.executable, "-m", "stages.train", "both"]
    runs = study / "data/runs/both"
    process = subprocess.Popen(
        train,
        cwd=study,
        env=clone.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(runs.glob("r*.json")):
        time.sleep(0.05)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {p: p.stat().st_mtime_ns for p in runs.glob("r*.json")}
    clone.run(*train, study="studies/killed")
    assert finished.items() <= {p: p.stat().st_mtime_ns for p in runs.glob("r*.json")}.items()
    resumed = {p.name: p.read_bytes() for p in runs.iterdir()}
    shutil.rmtree(runs)
    clone.run(*train, study="studies/killed")
    assert resumed == {p.name: p.read_bytes() for p in runs.iterdir()}
    shutil.rmtree(study)


def test_a_bad_param_stops_the_first_stage(clone):
    path = clone.root / "params.yaml"
    good = path.read_text()
    path.write_text(good.replace("rate: 0.3", "rate: 1.5"))
    said = clone.run("dvc", "repro", fails=True)
    path.write_text(good)
    assert "techniques.dropout.rate = 1.5" in said and "less than 1" in said
    assert "stages.train" not in said
    effects = json.loads((clone.root / "reports/ablation.json").read_text())["effect"]
    assert effects and all(value == float(f"{value:.6g}") for value in effects.values())
