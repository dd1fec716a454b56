"""Studies beside the root's: DVC speaks of the one that one stands in."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from cnnlab import consistency, new_study, params, paths, proposal, timing
from cnnlab.data import survey
from cnnlab.data.truths import TRUTHS
from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.recipe.nets import NETS
from cnnlab.run import choice, device
from cnnlab.tasks import TASKS
from tests.data.test_mask_folder import write
from tests.layouts import LAYOUTS, scenes
from tests.test_makefile import Tree

ROOT = Path(__file__).parents[1]
STUDIES = (".", "studies/birds", "studies/photos")
FILES = (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml")
FILES += ("data/raw/README.md", "data/raw_pretrain/README.md")


class Repository:
    """A clone with two studies beside the root's, whose numbers have the names of the studies."""

    def __init__(self, root):
        self.root = root
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        for name in ("stages", "cnnlab"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "tests/params.yaml", root / "params.yaml")
        self.run("git", "init", "-q", "-b", "main")
        self.run("dvc", "remote", "add", "-q", "-d", "team", "remote")
        for study in STUDIES[1:]:
            new_study.create(root, Path(study).name)
        for study in STUDIES:
            images = root / study / "data/raw/images"
            images.mkdir()
            (images / "0.png").write_bytes(study.encode())
            self.score(study, 0.5)
        for study in STUDIES:
            self.run("dvc", "add", "-q", "data/raw/images", study=study)
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@e.org", "commit", "-qm", "x")
        for study in STUDIES:
            self.score(study, 0.6)
            file = root / study / "params.yaml"
            file.write_text(file.read_text().replace("\nseed: ", f"\n{self.key(study)}: 1\nseed: "))

    def key(self, study):
        return f"of_{Path(study).name or 'root'}"

    def score(self, study, value):
        file = self.root / study / "reports/ablation.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({self.key(study): value}))
        curves = self.root / study / f"reports/plots/curves/{self.key(study)}.csv"
        curves.parent.mkdir(parents=True, exist_ok=True)
        curves.write_text(f"epoch,score,train_score\n1,{value},{value}\n")

    def run(self, *command, study="."):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            command, cwd=self.root / study, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return Repository(tmp_path_factory.mktemp("clone"))


@pytest.mark.parametrize("study", STUDIES[:2])
def test_what_dvc_says_is_of_the_study_one_stands_in(repository, study):
    others = [repository.key(s) for s in STUDIES if s != study]
    neighbours = ["studies/", "../", *others]
    for command, own in (
        ("status", "prepare:"),
        ("dag", "| check |"),
        ("params diff", repository.key(study)),
        ("metrics show", repository.key(study)),
        ("metrics diff main", repository.key(study)),
        ("exp show --csv", repository.key(study)),
    ):
        said = repository.run("dvc", *command.split(), study=study)
        assert own in said, (command, said)
        said = said.replace(paths.TO_CODE, "")  # where the code is
        assert [name for name in neighbours if name in said] == [], (command, said)
    repository.run("dvc", "plots", "diff", study=study)
    page = (repository.root / study / "dvc_plots/index.html").read_text()
    assert repository.key(study) in page and not [name for name in others if name in page]


def test_a_new_study_has_the_root_s_remotes(repository):
    assert repository.run("dvc", "remote", "list", study="studies/birds").split()[0] == "team"
    repository.run("dvc", "push", study="studies/birds")
    stored = [p.read_bytes() for p in (repository.root / "remote").rglob("*") if p.is_file()]
    assert b"studies/birds" in stored and b"studies/photos" not in stored


def test_studies_share_a_cache_from_which_nothing_of_another_is_removed(repository):
    """By the command that the docs give, in the root."""
    assert not (repository.root / "studies/photos/.dvc/cache").exists()
    repository.run("bash", "-c", "yes | dvc gc --workspace --projects studies/*")
    for study in STUDIES:
        shutil.rmtree(repository.root / study / "data/raw/images")
        repository.run("dvc", "checkout", "data/raw/images.dvc", study=study)
        assert (repository.root / study / "data/raw/images/0.png").read_bytes() == study.encode()


@pytest.mark.parametrize("name", ["01", "1e3", "yes", "null"])
def test_a_study_has_the_name_that_it_is_given(tmp_path, name):
    for file in (*FILES, "tests/params.yaml"):
        target = tmp_path / file.removeprefix("tests/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, target)
    assert params.read(new_study.create(tmp_path, name) / "params.yaml").study == name


def test_committed_studies_are_projects_of_their_own():
    for folder in (ROOT / "studies").glob("*/"):
        for name in (".dvcignore", ".dvc/.gitignore"):
            assert (folder / name).read_bytes() == (ROOT / name).read_bytes()
        assert "dir = ../../../.dvc/cache" in (folder / ".dvc/config").read_text()


def test_a_new_study_is_under_git_and_keeps_its_params_when_an_experiment_is_queued(
    repository, monkeypatch, capsys
):
    """DVC deletes a params.yaml that Git does not know: dvc#7842."""
    root = repository.root
    (root / "mine.txt").write_text("1")
    repository.run("git", "add", "mine.txt")
    (root / "unknown.txt").write_text("1")
    before = repository.run("git", "diff", "--cached", "--name-only")
    monkeypatch.chdir(root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    repository.run("git", "config", "user.useConfigOnly", "true")
    new_study.main(["nobody"])
    assert "note: studies/nobody is not committed to Git (" in capsys.readouterr().err
    repository.run("git", "config", "user.name", "t")
    repository.run("git", "config", "user.email", "t@example.org")
    repository.run("git", "rm", "-q", "-f", "-r", "studies/nobody")
    new_study.main(["queued"])
    assert "note: " not in capsys.readouterr().err
    folder = root / "studies/queued"
    committed = repository.run("git", "show", "--name-only", "--format=", "HEAD").split()
    made = {*new_study.COPIED, ".dvc/config", "params.yaml"}
    assert {name.removeprefix("studies/queued/") for name in committed} == made
    assert repository.run("git", "diff", "--cached", "--name-only") == before
    text = (folder / "params.yaml").read_text()
    refused = ["dvc", "exp", "run", "-S", "folds.k=999"]  # unstages what is added alone
    with pytest.raises(AssertionError, match=r"folds\.k"):
        repository.run(*refused, study="studies/queued")
    (folder / "params.yaml").write_text(text)
    queue = ["dvc", "exp", "run", "--queue", "-S", "train.epochs=3"]
    said = repository.run(*queue, study="studies/queued")
    assert "Queued experiment" in said
    assert (folder / "params.yaml").read_text() == text
    assert made <= {str(p.relative_to(folder)) for p in folder.rglob("*")}
    for name in ("mine.txt", "unknown.txt"):
        assert (root / name).read_text() == "1"
    repository.run("git", "rm", "-q", "-f", "--cached", "--ignore-unmatch", "mine.txt")
    repository.run("git", "reset", "-q", "--soft", "HEAD~1")
    repository.run("git", "rm", "-q", "-f", "-r", "--cached", "studies/queued")
    (root / "unknown.txt").unlink()
    shutil.rmtree(folder)


@pytest.mark.parametrize("path", [None, "nowhere"], ids=["no clone", "no Git"])
def test_where_git_cannot_a_study_is_made_all_the_same(clone, monkeypatch, capsys, path):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(clone.parent))
    if path:
        monkeypatch.setenv("PATH", path)
    monkeypatch.chdir(clone)
    new_study.main(["photos"])
    said = capsys.readouterr()
    assert "note: studies/photos is not committed to Git (" in said.err
    assert "studies/photos is ready" in said.out


# Of images ----------------------------------------------------------------------------------------


def photographs(folder, counts, size=(64, 64), mode="RGB", ending="jpg"):
    """Noise, another picture in each file: `counts`: folder of a class -> how many."""
    rng = np.random.default_rng(len(counts))
    for label, count in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
            pixels = rng.integers(0, 256, shape).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.{ending}")
    return folder


@pytest.fixture
def clone(tmp_path):
    return tree(tmp_path / "clone")


def tree(root):
    """One with what a study needs, and the frozen params."""
    (root / "cnnlab").mkdir(parents=True)
    for file in (*FILES, "tests/params.yaml"):
        target = root / file.removeprefix("tests/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, target)
    return root


@pytest.fixture
def quick(monkeypatch):
    make_up_costs(monkeypatch)


def make_up_costs(patch):
    """Those of a machine, in the place of measured ones."""
    cost = timing.Cost(first=3.0, trial=1.0, step=0.01, look=0.003)

    def costs(recipes, shape, *_):
        share = (shape[0] / 96) ** 2
        part = timing.Cost(cost.first, cost.trial, cost.step * share, cost.look * share)
        return dict.fromkeys(recipes, part)

    patch.setattr(timing, "costs", costs)
    patch.setattr(timing, "machine", lambda *_: timing.Machine(2, 3.0, 4.0))


def test_what_is_found_is_said(tmp_path):
    folder = photographs(tmp_path / "images", {"cat": 30, "dog": 6}, (80, 60))
    (folder / "cat/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than this")
    (folder / "cat/empty.png").write_bytes(b"")
    (folder / "cat/notes.txt").write_text("no image")
    photographs(folder, {"dog/": 1}, (10, 10), ending="png")
    (folder / "dog/0.png").rename(folder / "dog/tiny.png")
    photographs(folder, {"dog/": 1}, (300, 60), ending="png")
    (folder / "dog/0.png").rename(folder / "dog/long.png")
    shutil.copy(folder / "cat/3.jpg", folder / "dog/copy.jpg")
    shutil.copy(folder / "cat/4.jpg", folder / "cat/again.jpg")
    found = survey.survey(folder)
    said = "\n".join(survey.lines(found))
    for line in (
        "40 images in 2 classes: cat 31, dog 9",
        "in colour, shorter side 10 to 60 pixels, half of them at least 60",
        "not an image by its bytes (1) left out: cat/notes.txt",
        "cannot be read, left out (2): cat/broken.jpg (JPEG: ",
        "cat/empty.png (empty file)",
        "tiny, shorter side below a quarter of the usual 60 pixels (1): dog/tiny.png",
        "one side 3 times the other or more (1): dog/long.png",
        "the same file in two classes, of which one is wrong (1): cat/3.jpg = dog/copy.jpg",
        "the same file again in its class (1): cat/again.jpg",
    ):
        assert line in said, (line, said)
    assert "uneven" not in said and "come split" not in said
    assert not found.own_test and found.classes == ["cat", "dog"]


def test_an_archive_and_a_turned_image_are_looked_at_alike(tmp_path):
    folder = photographs(
        tmp_path / "images", {"train/a": 4, "train/b": 4, "test/a": 1, "test/b": 1}
    )
    picture = Image.new("RGB", (90, 40), "red")
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(folder / "train/a/turned.jpg", exif=exif)
    shutil.copy(folder / "train/b/0.jpg", folder / "test/b/seen.jpg")
    shutil.make_archive(tmp_path / "images", "zip", folder)
    shutil.make_archive(tmp_path / "images", "gztar", folder)
    tables = []
    for place in ("images", "images.zip", "images.tar.gz"):
        found = survey.survey(tmp_path / place)
        assert found.own_test
        said = survey.lines(found)
        assert "they come split: 9 to train on, 3 to test" in said
        assert any("to train on and to test (1): train/b/0.jpg" in line for line in said)
        tables.append(found.table.drop(columns="mark"))
    turned = tables[0].set_index("source").loc["train/a/turned.jpg"]
    assert (turned["width"], turned["height"]) == (40, 90)
    assert tables[1].equals(tables[0]) and tables[2].equals(tables[0])


def test_grey_images_that_are_stored_in_colour_are_grey(tmp_path):
    folder = photographs(tmp_path / "images", {"a": 3, "b": 3}, mode="L", ending="png")
    for path in folder.rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    assert not survey.survey(folder).colour


@pytest.mark.parametrize(
    ("counts", "size", "mode", "expected"),
    [
        ({"a": 8, "b": 8}, (28, 28), "L", ("vgg", 28, ["scratch"], False)),
        ({"a": 8, "b": 8}, (32, 32), "RGB", ("vgg", 32, ["scratch"], True)),
        ({"a": 8, "b": 8}, (90, 80), "L", ("resnet", 96, ["scratch"], False)),
        ({"a": 8, "b": 8}, (300, 280), "L", ("resnet", 224, ["freeze", "finetune"], False)),
        ({"a": 8, "b": 8}, (100, 90), "RGB", ("resnet", 128, ["freeze", "finetune"], True)),
        ({"a": 8, "b": 8}, (400, 300), "RGB", ("resnet", 224, ["freeze", "finetune"], True)),
    ],
)
def test_network_and_size_are_those_for_the_images(tmp_path, counts, size, mode, expected):
    found = survey.survey(photographs(tmp_path / "images", counts, size, mode, "png"))
    plan = proposal.plan_for(found)
    whole = params.of_text(proposal.written("photos", plan, found, "/where/they/are"))
    net, pixels, starts, flips = expected
    assert list(chosen(whole.model)) == [net] and whole.data.image_size == pixels
    assert whole.design.starts == starts
    assert ("flip" in chosen(whole.techniques.augment)) == flips
    assert whole.data.raw == "/where/they/are"
    of_backbone = starts != ["scratch"]
    assert whole.backbone.weights == ("package" if of_backbone else "pretrain")
    lite = {"efficientnet_lite0": {"size": pixels, "momentum": None, "dense": []}}
    model = whole.backbone.model and whole.backbone.model.model_dump(exclude_unset=True)
    assert model == (lite if of_backbone else None)
    assert bool(whole.variants.transfer) == of_backbone


def test_a_study_of_photographs_has_params_that_hold(clone, tmp_path, quick):
    if proposal.BACKBONE not in NETS:
        pytest.skip(f"the network {proposal.BACKBONE} is not there yet")
    folder = photographs(tmp_path / "photos", {"a": 30, "b": 30}, (100, 100))
    study = new_study.create_for(clone, "photos", folder)
    whole = params.read(study / "params.yaml")
    assert whole.backbone.weights == "package" and whole.data.pretrain.task is None


def test_flips_and_rotations_are_left_out_where_the_user_says_so(tmp_path):
    found = survey.survey(photographs(tmp_path / "images", {"a": 8, "b": 8}, (32, 32)))
    for flips, rotations in ((True, True), (False, True), (True, False), (False, False)):
        plan = proposal.plan_for(found, flips=flips, rotations=rotations)
        p = YAML(typ="safe").load(proposal.written("photos", plan, found, "x"))
        ops = p["techniques"]["augment"]
        assert ("flip" in ops, "rotation" in ops) == (flips, rotations)
        assert {"shift", "zoom"} <= set(ops)


@pytest.mark.parametrize(
    ("size", "resize"),
    [((64, 64), "squash"), ((64, 48), "squash"), ((96, 54), "squash"), ((200, 50), "pad")],
)
def test_long_images_keep_their_form(tmp_path, size, resize):
    found = survey.survey(photographs(tmp_path / "images", {"a": 6, "b": 6}, size))
    assert proposal.plan_for(found).resize == resize


def test_what_is_padded_is_as_large_as_its_longer_side_asks(tmp_path):
    found = survey.survey(photographs(tmp_path / "images", {"a": 6, "b": 6}, (500, 70)))
    assert proposal.plan_for(found).size == proposal.SIZES[0]


def test_folds_are_as_many_as_the_rarest_class_allows(tmp_path):
    few = survey.survey(photographs(tmp_path / "few", {"a": 40, "b": 5}, (16, 16)))
    plan = proposal.plan_for(few)
    assert plan.test == {"a": 8, "b": 1} and plan.dev == {"a": 32, "b": 4} and plan.k == 3
    many = survey.survey(photographs(tmp_path / "many", {"a": 40, "b": 40}, (16, 16)))
    assert proposal.plan_for(many).k == 5 and proposal.plan_for(many).repeats == 3
    table = pd.concat([many.table] * 80, ignore_index=True)
    plan = proposal.plan_for(replace(many, table=table.assign(mark=table.index)))
    assert plan.images > proposal.MANY and (plan.k, plan.repeats) == (4, 1)  # enough to decide


def test_folds_and_test_images_are_of_whole_groups(tmp_path):
    """Three patients of ten images: one is tested, two are the folds."""
    folder = photographs(tmp_path / "images", {"a": 30, "b": 30}, (16, 16))
    rows = [f"{c}/{i}.jpg,{c},{c}{i // 10}" for c in "ab" for i in range(30)]
    table = folder / "table.csv"
    table.write_text("\n".join(["path,label,group", *rows]))
    plan = proposal.plan_for(survey.survey(table))
    assert plan.test == {"a": 10, "b": 10} and plan.dev == {"a": 20, "b": 20} and plan.k == 2
    table.write_text("\n".join(["path,label,group", *rows[10:]]))
    with pytest.raises(UserError, match="class 'a' has images of 2 groups; needed: 3"):
        proposal.plan_for(survey.survey(table))


def test_images_of_both_parts_are_not_counted_as_learnt(tmp_path):
    folder = photographs(tmp_path / "images/train", {"a": 10, "b": 10}).parent
    shutil.copytree(folder / "train", folder / "test")
    with pytest.raises(UserError, match="class 'a' has 0 images to train on"):
        proposal.plan_for(survey.survey(folder))


def test_a_test_part_is_used_where_there_is_one(tmp_path):
    counts = {"train/a": 10, "train/b": 10, "test/a": 5, "test/b": 5}
    found = survey.survey(photographs(tmp_path / "images", counts, (16, 16)))
    plan = proposal.plan_for(found)
    assert plan.own_test and plan.images == 20 and plan.test_images == 10


@pytest.mark.parametrize("name", ["photos", "01", "null"])
@pytest.mark.parametrize("raw", ["/a  # b", '/it\'s "mine"', "/漢: {x}, [y]", "/" + "x" * 200])
def test_names_and_places_are_written_as_they_are(tmp_path, name, raw):
    found = survey.survey(photographs(tmp_path / "images", {"a": 8, "b": 8}, (32, 32)))
    whole = params.of_text(proposal.written(name, proposal.plan_for(found), found, raw))
    assert (whole.study, whole.data.raw) == (name, raw)


def test_params_need_no_edit_and_say_why(clone, tmp_path, quick, capsys):
    folder = photographs(tmp_path / "my images", {"a": 30, "b": 30}, (32, 32))
    study = new_study.create_for(clone, "photos", folder)
    whole = params.read(study / "params.yaml")
    assert whole.study == "photos" and whole.data.raw == str(folder)
    assert whole.design.kind == "factorial" and len(whole.variants.train) == 9
    lines = (study / "params.yaml").read_text().splitlines()
    assert len(lines) < 110
    for section in ("study", "task", "model", "techniques", "design", "variants"):
        (line,) = [line for line in lines if line.startswith(f"{section}:")]
        assert line.index(" # ") == 24
    assert not any(line.startswith(("  optimizer:", "  guard:")) for line in lines)  # as ever
    said = capsys.readouterr().out
    assert "60 images in 2 classes: a 30, b 30" in said
    assert "9 variants x 15 folds, 2 trials side by side" in said
    assert [p.name for p in study.parent.iterdir()] == ["photos"]


def test_minutes_make_a_smaller_study(clone, tmp_path, quick, capsys):
    folder = photographs(tmp_path / "images", {"a": 30, "b": 30}, (32, 32))
    sizes = {}
    for minutes in (1, 5, 1000):
        study = new_study.create_for(clone, f"of_{minutes}", folder, minutes)
        whole = params.read(study / "params.yaml")
        sizes[minutes] = len(whole.variants.every) * whole.folds.k * whole.folds.repeats
        said = capsys.readouterr().out
        assert ("the least that makes sense takes longer" in said) == (minutes == 1)
    assert sorted(sizes.values()) == list(sizes.values())
    assert sizes[1] < sizes[5] < sizes[1000]


def plan_of(**images):
    """A plan for photographs: class -> how many there are, of which a fifth is for the test."""
    dev = {name: count - count // 5 for name, count in images.items()}
    return proposal.Plan(
        task="classification",
        backbone=True,
        size=224,
        resize="squash",
        channels=None,
        flips=True,
        rotations=True,
        dev=dev,
        test={name: count // 5 for name, count in images.items()},
        own_test=False,
        keeps_scenes=True,
        distinct=min(dev.values()),
        techniques=("augment", "dropout", "l2"),
        starts=("freeze", "finetune"),
        control=True,
        repeats=3,
    )


@pytest.mark.parametrize("images", [200, 20_000])
@pytest.mark.parametrize("minutes", [20, 60, 600])
def test_a_study_of_photographs_fits_the_time(images, minutes):
    each = images // 2
    plan = plan_of(a=each, b=each)
    cost = {
        96: timing.Cost(5.0, 3.0, 0.02, 0.005),
        224: timing.Cost(5.0, 3.0, 0.1, 0.027),
    }
    measured = proposal.Measured(
        timing.Machine(2, 3.0, 4.0), dict.fromkeys(("freeze", "finetune", "scratch"), cost), 0.01
    )

    def seconds(plan):
        return proposal.seconds(plan, measured)

    less = proposal.fitted(plan, seconds, 60 * minutes)
    assert seconds(less) <= 60 * minutes < seconds(plan)
    assert less.k * less.repeats >= 4 and "augment" in less.techniques  # or nothing is decided
    limit = less.dev_per_class
    assert limit is None or less.test_per_class <= limit <= each - each // 5
    # A backbone sees least of small images, and learns nothing in a handful of steps.
    assert less.size >= 160 or less.starts == ("freeze",)
    steps = math.ceil(less.images * (less.k - 1) / less.k / 32)
    assert "finetune" not in less.starts or less.epochs("finetune") * steps >= 40
    # Nothing is left out for which there is the time.
    for name in ("placebo", "curve", "control", "techniques"):
        more = replace(less, **{name: getattr(plan, name)})
        assert more == less or seconds(more) > proposal.MARGIN * 60 * minutes


def test_what_a_later_cut_saves_takes_earlier_ones_back():
    """Here nothing but the number of images counts, which is cut after much else."""
    plan = plan_of(a=10_000, b=10_000)
    less = proposal.fitted(plan, lambda plan: plan.images, 4000 / proposal.MARGIN)
    assert less == replace(plan, most=4000)
    assert proposal.fitted(plan, lambda plan: 1.0, 10) == plan


def test_a_rare_class_does_not_take_nearly_all_images_away():
    """As all classes get as many as the rarest one has."""
    plan, even = plan_of(ok=4200, defect=25), plan_of(ok=4200, defect=3750)
    for least in (4000, 1000, 100):
        assert proposal._fewer_images(least)(plan).images >= least / 2
    assert proposal._fewer_images(1000)(even).images < even.images


def test_more_takes_longer():
    cost = timing.Cost(first=5.0, trial=2.0, step=0.1, look=0.02)
    assert cost.seconds(100, 4, 2, 125) == pytest.approx(2 + 40 + 5)
    machine = timing.Machine(2, 3.0, 4.0)
    measured = proposal.Measured(machine, {"scratch": {32: cost}}, 0.0)
    assert measured.cost("scratch", 64).step == pytest.approx(0.4)
    measured = proposal.Measured(machine, {"scratch": {10: cost, 30: cost}}, 0.0)
    assert measured.cost("scratch", 20).step == pytest.approx(0.1)


def test_a_few_steps_are_timed_on_this_machine(base):
    shape = (8, 8, 1)
    costs = timing.costs({"baseline": base}, shape, False, 1)
    cost = costs["baseline"]
    assert cost.first > 0 and 0 < cost.step < 1 and cost.trial >= 0 and cost.look >= 0
    machine = timing.machine(False, 1)
    assert machine.workers >= 1 and machine.stage > 0 and machine.worker > 0


@pytest.mark.parametrize("usable", [True, False])
def test_what_is_timed_is_timed_where_it_would_be_trained(clone, tmp_path, monkeypatch, usable):
    """A GPU that is there is no use where TensorFlow cannot use it."""
    seen = []
    make_up_costs(monkeypatch)
    machine = timing.machine
    monkeypatch.setattr(timing, "machine", lambda gpu, n: seen.append(gpu) or machine(False, n))
    monkeypatch.setattr(device, "visible", lambda: [device.Gpu("0", "NVIDIA H100")])
    monkeypatch.setattr(choice, "asked", lambda *of: (usable, 10**9))
    for name, size in (("photos", (64, 64)), ("small", (32, 32))):
        images = photographs(tmp_path / name, {"a": 12, "b": 12}, size)
        new_study.create_for(clone, f"gpu_{name}_{usable}", images, 10)
    assert seen == [usable, usable]


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_tasks_are_timed_by_what_they_learn(base, tmp_path, task):
    source = "mask_folder" if task == "segmentation" else "yolo"
    found = survey.survey(write(tmp_path / "images", LAYOUTS[source][1](scenes())))
    truth = survey.truth(found, 16, "squash", 2 * timing.IMAGES)
    learnt = timing.Learnt(task, len(TRUTHS[task].classes(found.opened)), truth)
    recipe = replace(base, net_options=base.net_options | {"dense": []})
    cost = timing.costs({"baseline": recipe}, (16, 16, 3), False, 2, learnt=learnt)["baseline"]
    assert cost.first > 0 and 0 < cost.step < 1 and cost.trial >= 0 and cost.look >= 0


# Of images with masks and with boxes --------------------------------------------------------------


@pytest.mark.parametrize("source", LAYOUTS)
def test_a_study_of_another_task_has_params_that_hold(clone, tmp_path, quick, capsys, source):
    task, make = LAYOUTS[source]
    folder = write(tmp_path / "images", make(scenes()))
    whole = params.read(new_study.create_for(clone, "photos", folder) / "params.yaml")
    score, loss = TASKS[task].MEASURED
    assert (whole.task, whole.data.source) == (task, source) and whole.compare.metric == score
    ropes = {name: rope for name, rope in whole.compare.rope if rope is not None}
    assert set(ropes) == set(TASKS[task].METRICS) and ropes[score] == 0.01 and ropes[loss] == 0.02
    asked = ["augment", "dice_cross_entropy", "dropout"]
    assert whole.design.techniques == (asked if task == "segmentation" else [*asked[::2], "l2"])
    assert whole.backbone.features is None and whole.sizes.per_class == []
    assert whole.model.vgg.dense == [] and whole.train.members == 1
    said = capsys.readouterr().out
    assert (
        f"for {task}, as {source} reads it" in said and "VGG from scratch, with a decoder" in said
    )
    _, problems = params.read_parts((consistency.FIT,), clone / "studies/photos/params.yaml")
    assert not problems


def test_photographs_of_another_task_begin_at_the_backbone(clone, tmp_path, quick):
    files = LAYOUTS["coco_masks"][1](scenes())
    folder = write(tmp_path / "images", files)
    study = new_study.create_for(clone, "photos", folder, network="backbone")
    whole = params.read(study / "params.yaml")
    assert whole.design.starts == ["finetune"] and list(whole.variants.train) == ["baseline"]
    assert whole.backbone.model.efficientnet_lite0 and whole.backbone.features is None
    study = new_study.create_for(clone, "boxes", folder, network="backbone", task="detection")
    assert params.read(study / "params.yaml").data.source == "coco_boxes"


def test_minutes_fit_another_task_too(clone, tmp_path, quick, capsys):
    folder = write(tmp_path / "images", LAYOUTS["voc"][1](scenes()))
    trials = {}
    for minutes in (4, 1000):
        study = new_study.create_for(clone, f"of_{minutes}", folder, minutes)
        whole = params.read(study / "params.yaml")
        trials[minutes] = len(whole.variants.every) * whole.folds.k * whole.folds.repeats
        assert "takes longer" not in capsys.readouterr().out
    assert trials[4] < trials[1000]


def one_class(folder):
    photographs(folder, {"a": 9})


def too_few(folder):
    photographs(folder, {"a": 9, "rare": 4})


def same_file(folder):
    photographs(folder, {"a": 9, "b": 1})
    for i in range(1, 9):
        shutil.copy(folder / "b/0.jpg", folder / f"b/{i}.jpg")


def nothing(folder):
    folder.mkdir()


def no_images(folder):
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        (folder / label / "x.txt").write_text("no image")


def broken(folder):
    photographs(folder, {"a": 6})
    (folder / "b").mkdir()
    (folder / "b/0.jpg").write_bytes(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda folder: None, "no such file or folder"),
        (nothing, "no images found"),
        (no_images, "no images found"),
        (one_class, "needs at least 2 classes, found ['a']"),
        (broken, "needs at least 2 classes of images that can be read, found ['a']; b/0.jpg"),
        (too_few, "class 'rare' has 4 images that can be read and differ; needed: 5"),
        (same_file, "class 'b' has 1 images that can be read and differ; needed: 5"),
    ],
)
def test_what_makes_no_study_is_one_line_and_leaves_nothing(clone, tmp_path, quick, made, said):
    made(tmp_path / "images")
    with pytest.raises(UserError) as error:
        new_study.create_for(clone, "photos", tmp_path / "images")
    text = str(error.value)
    assert said in text and "\n" not in text and "params.yaml" not in text
    assert text.startswith(f"images {str(tmp_path / 'images')!r}: ")
    assert not (clone / "studies").exists()


def test_a_name_that_is_taken_is_said_before_anything_is_read(clone, tmp_path):
    new_study.create(clone, "photos")
    before = (clone / "studies/photos/params.yaml").read_bytes()
    with pytest.raises(UserError, match="photos exists already"):
        new_study.create_for(clone, "photos", tmp_path / "not there")
    assert (clone / "studies/photos/params.yaml").read_bytes() == before


def test_what_fails_while_a_study_is_written_leaves_nothing(clone, tmp_path, quick, monkeypatch):
    folder = photographs(tmp_path / "images", {"a": 9, "b": 9}, (16, 16))

    def fails(root, name, text):
        (root / "studies" / name).mkdir(parents=True)
        raise OSError("disk full")

    monkeypatch.setattr(new_study, "create", fails)
    with pytest.raises(OSError, match="disk full"):
        new_study.create_for(clone, "photos", folder)
    assert not (clone / "studies/photos").exists()


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan"])
def test_minutes_are_a_number(clone, monkeypatch, minutes):
    monkeypatch.chdir(clone)
    with pytest.raises(UserError, match="allowed: a number > 0"):
        new_study.main(["photos", "--images", "x", f"--minutes={minutes}"])


@pytest.mark.parametrize("place", ["studies/photos", "data", "elsewhere"])
def test_elsewhere_than_at_a_root_no_study_is_made(clone, monkeypatch, capsys, place):
    new_study.create(clone, "photos")
    (clone / "elsewhere").mkdir()
    before = sorted(clone.rglob("*"))
    monkeypatch.chdir(clone / place)
    with pytest.raises(UserError, match=f"{clone}/{place}: a new study is made at the root of"):
        new_study.main(["birds", "--images", str(clone)])
    assert sorted(clone.rglob("*")) == before and capsys.readouterr().out == ""


@pytest.mark.parametrize("place", ["studies", ".", ".."])
def test_images_that_hold_the_study_are_refused_before_they_are_read(clone, capsys, place):
    with pytest.raises(UserError, match=f"hold the study itself, {clone}/studies/photos"):
        new_study.create_for(clone, "photos", clone / place)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("git", [True, False])
def test_a_new_study_is_known_to_git(clone, monkeypatch, capsys, git):
    monkeypatch.chdir(clone)
    if git:
        subprocess.run(["git", "init", "-q"], cwd=clone, check=True)
    new_study.main(["photos"])
    assert "studies/photos is ready: edit its params.yaml" in capsys.readouterr().out
    if git:
        listed = subprocess.run(
            ["git", "ls-files", "studies"], cwd=clone, capture_output=True, text=True
        ).stdout.split()
        files = ("params.yaml", "dvc.yaml", ".dvc/config", "data/raw/README.md")
        assert {f"studies/photos/{file}" for file in files} <= set(listed)


def test_make_passes_on_what_it_is_given(tmp_path):
    tree = Tree(tmp_path / "my clone", git=True)
    said = tree.make("--dry-run", "study", "NAME=photos")
    assert "python -m cnnlab.new_study 'photos'\n" in said
    given = ("NAME=photos", "IMAGES=~/it's mine", "MINUTES=60", "FLIPS=no", "NETWORK=small")
    said = tree.make("--dry-run", "study", *given, "TASK=detection")
    rest = "--minutes '60' --flips 'no' --network 'small' --task 'detection'"
    assert f"'photos' --images '~/it'\\''s mine' {rest}\n" in said
    error = tree.make("study", "NAME=photos", f"IMAGES={tmp_path}/none", fails=True)
    assert f"error: images '{tmp_path}/none': no such file or folder" in error
    assert not (tree.root / "studies").exists()
