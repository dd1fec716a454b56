"""Every command of README and docs, run in a clone of a small study in the order a newcomer might.

What is not run here is in ELSEWHERE, with the test that runs it, or in NOT_RUN, with the reason.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from cnnlab import new_study, params, pull_request, ui
from tests.test_pipeline import Clone

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "bench/README.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?ms)^ *```(\w*)\n(.*?)^ *```")
PROGRAMS = r"(make|dvc|python -m|pip|pre-commit|mlflow|git) "

EXPERIMENTS = "test_pipeline.py::test_experiments_work_in_place_and_queued_and_log_to_one_store"
ELSEWHERE = {
    "dvc exp run -S train.epochs=100": EXPERIMENTS,
    "dvc exp run": EXPERIMENTS,
    "dvc exp run -S …": EXPERIMENTS,
    "dvc exp run --queue -S folds.repeats=5": EXPERIMENTS,
    "dvc queue start": EXPERIMENTS,
    "make predict": "test_predict.py::test_without_an_image_the_study_s_samples_are_asked_about",
    "make predict IMAGE=data/sample JSON=yes": "test_predict.py::test_json_is_all_that_is_printed",
    "python -m cnnlab.predict --json": "test_predict.py::test_json_is_all_that_is_printed",
    "make predict STUDY=studies/photos IMAGE=~/photos/new.jpg": (
        "test_predict.py::test_it_prints_classes_and_draws_where_the_network_looks"
    ),
    "make ui STUDY=studies/NAME": "test_ui.py::test_its_page_shows_the_variants_the_best_first",
    "make predict IMAGE=photo.jpg": (
        "test_predict.py::test_it_prints_classes_and_draws_where_the_network_looks"
    ),
    "make predict IMAGE=photos": "test_predict.py::test_a_folder_becomes_a_table_and_a_sheet",
    "make export": "test_export.py::test_tflite_says_what_keras_says_with_the_temperature_in_it",
    "make export STUDY=studies/photos": (
        "test_export.py::test_tflite_says_what_keras_says_with_the_temperature_in_it"
    ),
    "dvc gc --workspace --projects studies/*": (
        "test_new_study.py::test_studies_share_a_cache_from_which_nothing_of_another_is_removed"
    ),
    **{
        f"mlflow models serve -m models:/{name} --env-manager local{port}": (
            "test_tracking.py::test_a_server_answers_for_the_champion"
        )
        for name, port in (("digits@champion", ""), ("photos@champion", " --port 5001"))
    },
    "mlflow server --backend-store-uri postgresql+psycopg://user:password@db.example/mlflow"
    " --artifacts-destination /srv/mlflow": (
        "test_tracking_server.py::test_a_study_is_logged_to_a_server_and_read_back"
    ),
    "MLFLOW_TRACKING_URI=http://mlflow.example:5000 dvc repro": (
        "test_tracking_server.py::test_a_study_is_logged_to_a_server_and_read_back"
    ),
    "make track": "test_pipeline.py::test_make_track_logs_what_a_store_lacks_each_run_once",
    "make study NAME=photos IMAGES=~/photos MINUTES=60": (
        "test_new_study.py::test_make_passes_on_what_it_is_given"
    ),
    "make try STUDY=studies/photos": "test_tryout.py::test_a_study_is_tried_and_stays_as_it_is",
    "make validate": "test_validate.py::test_the_page_says_what_was_counted",
    "make validate TRAIN=20": "test_validate.py::test_the_page_says_what_was_counted",
    "make repro JOBS=n": "test_launch.py::test_sixteen_at_once_end_as_plain_repro_does",
    "make find-lr": "test_find_lr.py::test_losses_are_those_of_a_training_at_these_rates",
    "make cards": "test_report_cards.py::test_cards_of_techniques_that_are_gone_go",
    "python -m stages.train VARIANT": "test_docs.py::test_own_source_network_and_start",
}
NEEDS = ("network", "cluster", "GPU")  # what excuses a command
NOT_RUN = {  # what it needs, and why
    "make setup": "network: installs packages; .ci/run runs it",
    "make ray": "network: installs packages; .ci/run runs it, and then run/test_ray.py",
    "make gpu": "network: installs packages",
    "make requirements": "network: asks for the newest packages",
    "pip install -r requirements-ray.txt": "network: installs packages, as make ray does",
    "pip install -r requirements-data.txt": "network: installs packages",
    "pip install -r requirements-export.txt": "network: installs packages",
    "pip install dvc-s3": "network: installs packages",
    "pip install 'psycopg[binary]'": "network: installs packages",
    "dvc import-url s3://bucket/flowers data/raw/flowers": "network: a bucket",
    "RAY_ADDRESS=head:6379 dvc repro": "cluster: run/test_ray.py starts one of this machine",
}
RUN: list[str] = []


def runs(*commands):
    """Marks a test with the commands that it must run."""
    RUN.extend(commands)
    return pytest.mark.runs(*commands)


def commands(text):
    """Those of shell blocks, a line each without comment, and those in the text."""
    found = []
    for language, block in BLOCK.findall(text):
        lines = re.sub(r"(?m)(^|\s+)#.*$", "", block).splitlines() if language == "sh" else []
        found += filter(None, map(str.strip, lines))
    inline = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    return found + [code for code in inline if re.match(PROGRAMS + r"\S", code)]


def example(page, file):
    """The code block of a page that follows the name of its file."""
    text = (ROOT / page).read_text()
    lead = rf"`{re.escape(file)}`[^\n]*:\n\n"
    (code,) = re.findall(rf"{lead}```python\n((?:.|\n)*?)```", text)
    return code


def sections(page):
    """What the YAML blocks of a page set of params.yaml: section -> its content there."""
    blocks = [b for named, b in BLOCK.findall((ROOT / page).read_text()) if named == "yaml"]
    return {k: v for block in blocks for k, v in YAML(typ="safe").load(block).items()}


class Newcomer(Clone):
    """A clone that has its .venv, and a study of two variants."""

    def __init__(self, root):
        self.ran: set[str] = set()
        super().__init__(root)
        (root / ".venv").mkdir()
        for part in ("bin", "lib", "pyvenv.cfg"):  # of the one that runs this
            (root / ".venv" / part).symlink_to(Path(sys.prefix, part))
        (root / ".venv/.ready").touch()
        p = self.params()
        p["variants"] = {"train": {"baseline": [], "dropout": ["dropout"]}, "transfer": {}}
        p["design"].update(kind="star", techniques=["dropout"], starts=["scratch"])
        p["compare"]["pairs"] = []
        p["data"]["pretrain"]["task"] = None
        p["sizes"].update(per_class=[], variants=[])
        p["visualize"].update(variants=["baseline"], images=1)
        p["decide"]["max_repeats"] = None
        self.write(p)
        self.commit()

    def write(self, p, study="."):
        YAML(typ="safe").dump(p, self.root / study / "params.yaml")

    def sh(self, command, study=".", really=None, **options):
        """Run a command of the docs; `really`: as it has to be here (other paths)."""
        self.ran.add(command)
        activated = f". {self.root}/.venv/bin/activate\n{really or command}"
        return self.run("bash", "-ec", activated, study=study, **options)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return Newcomer(tmp_path_factory.mktemp("newcomer"))


@pytest.fixture(autouse=True)
def all_that_is_promised_is_run(request):
    yield
    mark = request.node.get_closest_marker("runs")
    if mark:
        assert set(mark.args) <= request.getfixturevalue("clone").ran


def test_every_command_is_run_or_excused():
    written = {command for page in PAGES for command in commands(page.read_text())}
    known = {*RUN, *ELSEWHERE, *NOT_RUN}
    assert written - known == set(), "commands that no test runs"
    assert known - written == set(), "commands that are in no page"


def test_tests_named_elsewhere_exist():
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text()


def test_what_is_excused_needs_what_a_test_cannot_have():
    assert {reason.partition(":")[0] for reason in NOT_RUN.values()} <= set(NEEDS)


def comments(file):
    """What params.yaml says of each key, dotted -> its comment as one line."""
    said, above = {}, []
    for line in file.read_text().splitlines():
        code, _, comment = line.partition("# ")
        if match := re.match(r"( *)([\w-]+):", code):
            above = [a for a in above if a[0] < len(match[1])] + [(len(match[1]), match[2])]
        key = ".".join(name for _, name in above)
        said[key] = f"{said.get(key, '')} {comment.strip()}".strip()
    return said


@pytest.mark.parametrize("study", ["tests", "studies/cifar10", "studies/transfer"])
def test_params_are_explained_in_the_same_words(study):
    ours, theirs = comments(params.DEFAULTS), comments(ROOT / study / "params.yaml")
    other = {key: theirs[key] for key in ours.keys() & theirs.keys() if key and theirs[key]}
    assert len(other) > 20
    assert other == {key: ours[key] for key in other}


def anchors(page):
    """Those of a page's headings, as GitHub makes them."""
    heads = re.findall(r"(?m)^#+ (.+)$", BLOCK.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_links_lead_somewhere():
    for page in [*PAGES, BENCH]:
        for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
            target, _, anchor = link.partition("#")
            if not target.startswith("http"):
                there = page.parent / target if target else page
                assert there.exists(), (page.name, link)
                assert not anchor or anchor in anchors(there), (page.name, link)


def test_the_page_of_benchmarks_names_each():
    named = set(re.findall(r"`python -m bench\.(\w+)", BENCH.read_text()))
    modules = {file.stem for file in BENCH.parent.glob("*.py")} - {"__init__", "plain_script"}
    assert named == modules


def test_how_to_cite_follows_its_schema():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    command += ["vendor.citation-file-format", str(ROOT / "CITATION.cff")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "@" not in (ROOT / "CITATION.cff").read_text()  # nobody's address


STORE = "export MLFLOW_TRACKING_URI=sqlite:///$PWD/mlflow.db"
CHAMPION = """
import mlflow
print(mlflow.MlflowClient().get_model_version_by_alias("digits", "champion").name)
"""


@runs("make design", "make repro", ". .venv/bin/activate", "dvc status", "dvc repro", STORE)
def test_first_run(clone):
    clone.sh("make design")
    assert clone.params()["variants"]["train"].keys() >= {"baseline", "dropout"}
    clone.sh("make repro")
    clone.sh(". .venv/bin/activate")
    assert "up to date" in clone.sh("dvc status")
    assert "Running stage" not in clone.sh("dvc repro")
    assert (clone.root / "reports/report.md").exists()
    assert "digits" in clone.sh(STORE, really=f"{STORE}\npython -c '{CHAMPION}'").splitlines()
    clone.commit()


TAKE = ("dvc get . models -o taken", 'git tag -a recommended@v1.0.0 -m "the first"')
TAKE += ("dvc artifacts get . recommended -o recommended.keras",)


@runs(*TAKE)
def test_the_network_is_brought_from_a_commit(clone):
    for command in TAKE:
        clone.sh(command)
    network = (clone.root / "models/model.keras").read_bytes()
    assert (clone.root / "taken/model.keras").read_bytes() == network
    assert (clone.root / "recommended.keras").read_bytes() == network
    assert (clone.root / "taken/usage.json").exists()
    shutil.rmtree(clone.root / "taken")
    (clone.root / "recommended.keras").unlink()


TAKE_BELOW = (
    'git tag -a studies/NAME=recommended@v1.0.0 -m "the first"',
    "dvc artifacts get . studies/NAME:recommended -o recommended.keras",
)


@runs(*TAKE_BELOW)
def test_the_network_of_a_study_below_studies_is_brought(clone, tmp_path):
    study = new_study.create(clone.root, "brought")
    shutil.copy(clone.root / "dvc.lock", study)  # it may have the root's network
    clone.run("dvc", "remote", "add", "-q", "-d", "team", str(tmp_path), study=study)
    clone.run("dvc", "push", "-q", "models", study=study)
    clone.commit()
    for command in TAKE_BELOW:
        clone.sh(command, really=command.replace("NAME", "brought"))
    network = clone.root / "recommended.keras"
    assert network.read_bytes() == (clone.root / "models/model.keras").read_bytes()
    network.unlink()
    shutil.rmtree(study)
    clone.commit()


SHOW = "dvc exp show --only-changed --drop '(data|reports)/.*'"
COMPARE = ("dvc params diff", "dvc metrics diff", "dvc plots diff")


GIT_USER = ('git config user.name "Your Name"', "git config user.email you@example.org")


@runs(
    *GIT_USER,
    "dvc exp run -S 'techniques.dropout.rate=0.5' -n half",
    SHOW,
    "dvc plots show",
    *COMPARE,
    *(f"{command} main" for command in COMPARE),
)
def test_what_dvc_shows_of_a_change_is_readable(clone):
    clone.run("git", "checkout", "-q", "-b", "branch")
    before = records(clone)
    for command in GIT_USER:
        clone.sh(command)
    clone.sh("dvc exp run -S 'techniques.dropout.rate=0.5' -n half")
    trained = {name for name, when in records(clone).items() if when != before[name]}
    assert trained and all(name.startswith("dropout/") for name in trained)
    clone.sh(SHOW)
    shown = clone.sh(SHOW, really=f"{SHOW} --csv")
    head, *rows = [line.split(",") for line in shown.splitlines() if "," in line]
    known = {"accuracy.baseline", "accuracy.best", "effect.dropout", "techniques.dropout.rate"}
    assert head[:4] == ["Experiment", "rev", "typ", "Created"]
    known |= {"recommended", *(f"test.{m}" for m in ("accuracy", "nll"))}
    known |= {f"test.accuracy_{end}" for end in ("low", "high")}
    assert "techniques.dropout.rate" in head and set(head[4:]) <= known
    assert any("half" in row for row in rows)
    for rev in ("", " main"):
        assert re.search(r"techniques.dropout.rate +0.3 +0.5", clone.sh(f"dvc params diff{rev}"))
        metrics = clone.sh(f"dvc metrics diff{rev}")
        assert len(metrics.splitlines()) <= 10, metrics  # a head, and only what there is to say
        clone.sh(f"dvc plots diff{rev}")
        assert (clone.root / "dvc_plots/index.html").stat().st_size > 10_000
    kept = YAML(typ="safe").load(clone.root / "reports/ablation.json")
    assert set(kept) == {"accuracy", "effect"} and set(kept["accuracy"]) == {"baseline", "best"}
    clone.sh("dvc plots show")
    assert "dvc_plots" not in clone.run("git", "status", "--short")


@runs("python -m cnnlab.pull_request --base main")
def test_what_a_branch_does(clone):
    clone.commit()
    said = clone.sh("python -m cnnlab.pull_request --base main")
    assert said.startswith(pull_request.MARK)
    assert "| techniques.dropout.rate | 0.3 | 0.5 |" in said and "**dropout alone**" in said
    assert "The same development images, test images, folds." in said and "are older" not in said


@runs("dvc remote add -d team /srv/dvc", "dvc push", "dvc push --run-cache", "dvc pull", "git pull")
def test_another_clone_pulls_and_trains_nothing(clone, tmp_path):
    remote = tmp_path / "remote"
    clone.sh("dvc remote add -d team /srv/dvc", really=f"dvc remote add -d team {remote}")
    clone.commit()
    clone.sh("dvc push")
    clone.sh("dvc push --run-cache")
    second = other(clone, tmp_path / "second")
    second.sh("dvc pull")
    assert "up to date" in second.sh("git pull")
    clone.ran |= second.ran
    said = second.sh("dvc repro")
    assert "up to date" in said and "Running stage" not in said
    assert not (second.root / "mlflow.db").exists() and not any((second.root / "opened").iterdir())
    assert second.run("git", "status", "--short") == ""
    # A change that concerns no training: what is judged is what was pulled.
    p = second.params()
    p["compare"]["rope"]["accuracy"] = 0.02
    second.write(p)
    before = records(second)
    assert "Running stage 'compare'" in second.run("dvc", "repro", "compare")
    assert before and records(second) == before


def test_the_workflow_restores_or_reproduces_and_writes_the_comment(clone, tmp_path):
    """The scripts of study.yml in fresh clones, as GitHub runs them: with a remote and without."""
    workflow = YAML(typ="safe").load(ROOT / ".github/workflows/study.yml")
    steps = {s["name"]: s["run"] for s in workflow["jobs"]["study"]["steps"] if "run" in s}
    comments = []
    for name in ("restored", "reproduced"):
        fresh = other(clone, tmp_path / name)
        if name == "reproduced":
            fresh.run("dvc", "remote", "remove", "team")
        head = fresh.run("git", "rev-parse", "HEAD").strip()
        where = {
            "GITHUB_WORKSPACE": str(fresh.root),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
            "RUNNER_TEMP": str(tmp_path),
            "STUDIES": ".",
            "BASE": "main",
            "HEAD": head,
            "URL": "https://forge.example/o/r",
        }
        said = {n: fresh.run("bash", "-eo", "pipefail", "-c", s, **where) for n, s in steps.items()}
        trained = "Running stage 'train@dropout'" in said["Reproduce"]
        assert trained == (name == "reproduced"), said
        text = (tmp_path / "comment/comment.md").read_text()
        assert text.startswith(pull_request.MARK) and text in (tmp_path / "summary.md").read_text()
        assert f"https://forge.example/o/r/raw/{head}/reports/" in text
        assert "not pushed" not in text  # what was reproduced is what is committed, to the byte
        comments.append(re.sub(r"(?m)^From `.*", "", text))
    assert comments[0] == comments[1]


@runs("make repro JOBS=2", "dvc checkout", "make readme")
def test_what_the_traps_say(clone):
    assert "up to date" in clone.sh("make repro JOBS=2")
    shutil.rmtree(clone.root / "data/runs")
    clone.sh("dvc checkout")
    assert "up to date" in clone.sh("dvc status")
    clone.sh("make readme")
    told = (clone.root / "docs/first-run.md").read_text()
    assert "| **dropout** | " in told and "**batchnorm**" not in told


@runs(
    "make study NAME=photos",
    "cd studies/photos",
    "dvc add data/raw/flowers",
    "make screen STUDY=studies/photos",
    "make repro STUDY=studies/photos",
    "make predict STUDY=studies/photos IMAGE=~/new-photos",
    "dvc repro -f prepare",
)
def test_own_images_and_an_own_technique_for_them(clone):
    code = example("docs/own-technique.md", "gaussian_dropout.py")
    (clone.root / "cnnlab/recipe/techniques/gaussian_dropout.py").write_text(code)
    clone.sh("make study NAME=photos")
    study = "studies/photos"
    rng = np.random.default_rng(0)
    for i, name in enumerate(("rose", "tulip")):
        folder = clone.root / study / "data/raw/flowers" / name
        folder.mkdir(parents=True)
        for n in range(20):
            pixels = rng.integers(0, 100, (12, 10, 3)) + 120 * i
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{n}.png")
    p = clone.params(study)
    p["data"].update(source="image_folder", raw="data/raw/flowers", image_size=8, classes=None)
    p["data"].update(dev_per_class=12, test_per_class=None)
    p["techniques"]["gaussian_dropout"] = {"rate": 0.3}
    p["design"]["techniques"] = ["gaussian_dropout"]
    clone.write(p, study)
    clone.run("make", "design", f"STUDY={study}")
    clone.sh("cd studies/photos")
    clone.sh("dvc add data/raw/flowers", study)
    assert "Running stage 'screen'" in clone.sh("make screen STUDY=studies/photos")
    said = clone.sh("make repro STUDY=studies/photos")
    assert "Running stage 'train@gaussian_dropout'" in said
    ask = "make predict STUDY=studies/photos IMAGE=~/new-photos"
    clone.sh(ask, really=ask.replace("~/new-photos", f"{study}/data/raw/flowers/rose"))
    assert len((clone.root / "predictions/predictions.csv").read_text().splitlines()) == 21
    report = (clone.root / study / "reports/report.md").read_text()
    assert report.startswith("# photos: ") and "rose" in report
    assert "**gaussian_dropout**" in report and "hidden units do not echo each other" in report
    assert "Running stage 'prepare'" in clone.sh("dvc repro -f prepare", study)
    ignored = clone.run("git", "check-ignore", f"{study}/data/raw/flowers/rose/0.png")
    assert ignored.strip() and (clone.root / study / "data/raw/flowers.dvc").exists()


def test_crossing_starts_with_techniques(clone):
    """What docs/own-backbone.md sets is possible, one section after another."""
    shown = sections("docs/own-backbone.md")
    p = clone.params()
    p["visualize"]["variants"] = ["freeze"]
    p["variants"] = {"train": {}, "transfer": {"freeze": ["freeze"]}}
    p["data"]["pretrain"]["task"] = "rotation"
    p["design"] = shown["design"]
    clone.write(p)
    assert "backbone.features" in clone.run("make", "design", fails=True)
    p["backbone"]["features"] = 10
    clone.write(p)
    clone.sh("make design")
    made = clone.params()["variants"]
    assert made["train"] == {} and set(map(tuple, made["transfer"].values())) == {
        ("freeze",), ("freeze", "augment"), ("finetune",), ("finetune", "augment"),
    }  # fmt: skip
    clone.run("python", "-m", "stages.check")
    p["design"]["kind"], p["variants"]["train"] = "custom", {"baseline": []}
    p["variants"]["transfer"]["finetune"] = ["finetune"]
    p["sizes"] = shown["sizes"]
    p["sizes"]["per_class"] = [2, 3]  # of the few images here
    clone.write(p)
    clone.run("python", "-m", "stages.check")
    p["backbone"].update(shown["backbone"])
    p["data"]["pretrain"]["task"] = None
    p["variants"]["train"]["untrained"] = ["untrained"]
    p["techniques"]["untrained"] = {"epochs": 1, "learning_rate": 0.001}
    clone.write(p)
    clone.run("python", "-m", "stages.check")


def test_own_source_network_and_start(clone):
    """Each is one file and its name in params, and from there on it is trained."""
    for file, folder in (
        ("stripes.py", "data/sources"),
        ("plain.py", "recipe/nets"),
        ("upper_half.py", "recipe/techniques"),
    ):
        code = example("docs/own-technique.md", file)
        (clone.root / "cnnlab" / folder / file).write_text(code)
    p = clone.params()
    p["data"].update(source="stripes", classes=None, dev_per_class=20, test_per_class=None)
    p["data"]["pretrain"].update(task="rotation", per_class=20)
    p["model"] = {"plain": {"filters": [4, 4]}}
    p["backbone"].update(model=None, weights="pretrain")
    p["techniques"]["upper_half"] = {"epochs": 1, "learning_rate": 0.001}
    p["design"].update(kind="custom", techniques=[], starts=["scratch", "upper_half"])
    p["variants"] = {"train": {"dropout": ["dropout"]}, "transfer": {"begun": ["upper_half"]}}
    p["sizes"].update(per_class=[], variants=[])
    p["visualize"]["variants"] = ["begun"]
    clone.write(p)
    assert "dropout would do nothing" in clone.run("python", "-m", "stages.check", fails=True)
    p["variants"]["train"] = {"batchnorm": ["batchnorm"]}
    clone.write(p)
    for stage in ("check", "prepare", "kfold", "pretrain", "train batchnorm", "train begun"):
        name, *arguments = stage.split()
        clone.run("python", "-m", f"stages.{name}", *arguments)
    for name in ("batchnorm", "begun"):
        assert list((clone.root / "data/runs" / name).glob("r*.json"))


@runs("make test", "make format", "make lint", "pre-commit install")
def test_a_contribution(clone):
    assert "passed" in clone.sh("make test", PYTEST_ADDOPTS="tests/test_seeds.py")
    clone.sh("make format")
    clone.sh("make lint")
    clone.sh("pre-commit install")
    clone.run("git", "add", "-A")
    clone.run("pre-commit", "run", "--all-files")
    (clone.root / "cnnlab/bad.py").write_text("import os\n")
    clone.run("git", "add", "-A")
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    said = clone.run("git", *who, "commit", "-m", "x", fails=True)
    assert "files were modified by this hook" in said
    assert "import os" not in (clone.root / "cnnlab/bad.py").read_text()


@runs("make ui")
def test_the_pages_of_mlflow_open(clone):
    clone.ran.add("make ui")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["make", "ui"],
        cwd=clone.root,
        env=clone.environment() | {"MLFLOW_PORT": str(port), **ui.SMALL},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            assert process.poll() is None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                    assert b"MLflow" in answer.read()
                break
            except OSError:
                time.sleep(0.5)
        else:
            raise AssertionError("no answer")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def records(clone):
    """Each record of a trial, and when it was written."""
    runs = clone.root / "data/runs"
    files = runs.glob("*/r*.json")
    return {file.relative_to(runs).as_posix(): file.stat().st_mtime_ns for file in files}


def other(clone, folder):
    """Somebody else's clone of what is committed, at the same branch."""
    clone.run("git", "clone", "-q", str(clone.root), str(folder))
    made = object.__new__(Newcomer)
    made.root, made.ran = folder, set()
    shutil.copytree(clone.root / ".venv", folder / ".venv", symlinks=True)
    (folder / ".venv/.ready").touch()  # requirements.txt was written after it
    (folder / "opened").mkdir()
    shutil.copy(clone.root / ".git/info/exclude", folder / ".git/info/exclude")
    return made
