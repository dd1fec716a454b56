"""Studies beside the root's: DVC speaks of the one that one stands in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnlab import new_study, params

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
        for name in new_study.LINKED:
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
        curves.write_text(f"epoch,accuracy,train_accuracy\n1,{value},{value}\n")

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


@pytest.mark.parametrize("study", STUDIES)
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
