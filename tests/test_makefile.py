"""`make` wherever the clone lies, and where it is no Git clone."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("Makefile", "dvc.yaml", "requirements.txt", ".dvcignore", ".dvc/config", ".dvc/.gitignore")
FILES += ("data/raw/README.md", "data/raw_pretrain/README.md")


class Tree:
    """A tree that is set up, whose study has one stage that takes no time."""

    def __init__(self, root, git):
        self.root = root
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        for name in ("cnnlab", "stages"):
            (root / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "tests/params.yaml", root / "params.yaml")
        stages = (root / "dvc.yaml").read_text()
        (root / "dvc.yaml").write_text(stages[: stages.index("  prepare:")])
        (root / ".venv").mkdir()
        for part in ("bin", "lib", "pyvenv.cfg"):  # of the one that runs this
            (root / ".venv" / part).symlink_to(Path(sys.prefix, part))
        (root / ".venv/.ready").touch()
        if git:
            subprocess.run(["git", "init", "-q"], cwd=root, check=True)

    def make(self, *arguments, fails=False, **variables):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC", "PYTHON", "MAKE"))}
        environment = kept | {"GIT_CEILING_DIRECTORIES": str(self.root.parent)} | variables
        done = subprocess.run(
            ["make", *arguments], cwd=self.root, env=environment, capture_output=True, text=True
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "git"),
    [("it's (1)/a#b é漢?;&", True), ("cnnlab-main", False)],
)
def test_a_study_is_made_wherever_the_clone_lies(tmp_path, path, git):
    tree = Tree(tmp_path / path, git)
    said = tree.make("repro")
    assert ("note: this is no Git clone" in said) == (not git)
    assert "Running stage 'check'" in said
    tree.make("study", "NAME=photos")
    tree.make("design", "STUDY=studies/photos")
    (tree.root / "dvc.yaml").open("a").write("\n# newer\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/clone").symlink_to(tree.root)
    home = str(tmp_path / "home")
    said = tree.make("repro", "STUDY=~/clone/studies/photos", HOME=home)
    assert "Running stage 'check'" in said
    assert (tree.root / "studies/photos/dvc.yaml").read_text().endswith("# newer\n")
    (tree.root / ".try").mkdir()
    tree.make("repro", f"STUDY={tree.root}" if path == "cnnlab-main" else "STUDY=./")
    assert not (tree.root / ".try").exists()


@pytest.mark.parametrize("name", ["50%", "a:b", "a $HOME", 'a "b"', "`id`"])
def test_a_path_in_which_nothing_works_is_refused_in_one_line(tmp_path, name):
    tree = Tree(tmp_path / name, git=True)
    (tree.root / ".venv/.ready").unlink()
    said = [s for s in tree.make("setup", fails=True).splitlines() if not s.startswith("make:")]
    assert len(said) == 1 and said[0].startswith("error: ") and str(tree.root) in said[0], said


@pytest.mark.parametrize(("version", "fits"), [("3.10", False), ("3.13", True), ("3.14", False)])
def test_a_python_that_tensorflow_is_not_made_for_is_refused_in_one_line(tmp_path, version, fits):
    """Of that version as it says of itself, and that makes no environment."""
    tree = Tree(tmp_path / "clone", git=True)
    (tree.root / ".venv/.ready").unlink()
    python = tmp_path / "python"
    known = f"import sys; sys.version_info = ({version.replace('.', ', ')}, 0)"
    answers = f'[ "$1" = -c ] && exec {sys.executable} -c "{known}; $2"'
    python.write_text(f"#!/bin/sh\n{answers}\nexit 7\n")
    python.chmod(0o755)
    said = tree.make("setup", f"PYTHON={python}", fails=True)
    refused = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(refused) == (not fits) and ("-m venv" in said) == fits, said
    assert all(f"is Python {version}; needed is 3.11 to 3.13" in line for line in refused)


OF_A_STUDY = ["try", "design", "track", "predict", "export", "ui", "find-lr"]


@pytest.mark.parametrize(
    ("target", "study"),
    [
        *itertools.product(["repro", "screen"], ["it's other", "studies", "nowhere"]),
        *((target, "nowhere") for target in OF_A_STUDY),
    ],
)
def test_nothing_is_written_where_no_study_is(tmp_path, target, study):
    tree = Tree(tmp_path / "clone", git=True)
    there = tree.root / study
    if study != "nowhere":
        there.mkdir()
    if study == "it's other":
        (there / "dvc.yaml").write_text("stages: {}  # of another project\n")
    before = {path: path.read_bytes() for path in tree.root.rglob("dvc.yaml")}
    said = tree.make(target, f"STUDY={study}", fails=True)
    said = [line for line in said.splitlines() if not line.startswith("make:")]
    assert said == [f"error: STUDY = {study}: a study is a folder with a params.yaml"]
    assert {path: path.read_bytes() for path in tree.root.rglob("dvc.yaml")} == before


def test_dvc_is_told_when_a_tree_becomes_a_git_clone(tmp_path):
    tree = Tree(tmp_path / "clone", git=False)
    tree.make("repro")
    assert "no_scm = true" in (tree.root / ".dvc/config.local").read_text()
    assert "error: the tests need a Git clone" in tree.make("test", fails=True)
    subprocess.run(["git", "init", "-q"], cwd=tree.root, check=True)
    assert "no Git clone" not in tree.make("repro")
    assert "no_scm" not in (tree.root / ".dvc/config.local").read_text()


@pytest.mark.parametrize("name", ["a b.png", "it's $HOME `id`.png", 'a"b#c.png', "é漢%.png"])
def test_an_image_of_any_name_is_asked_for(tmp_path, name):
    tree = Tree(tmp_path / "clone", git=True)
    said = tree.make("--dry-run", "predict", f"IMAGE={name}")
    (command,) = re.findall(r"python -m cnnlab\.predict (.*)", said)
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True
    )
    assert shown.stdout.splitlines()[-1] == name
