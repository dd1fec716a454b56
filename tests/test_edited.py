"""`dvc exp run -S` changes the lines that it must: comments, lists and null stay as they were."""

import difflib
import subprocess
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from cnnlab import edited, params

ROOT = Path(__file__).parents[1]
FILES = ["tests/params.yaml", "params.yaml"]
FILES += sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("studies/*/params.yaml"))


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """Puts a text into Git as params.yaml, in a study below the root, and stands there."""

    def commit(content):
        folder = tmp_path / "studies/some"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        params.FILE.write_bytes(content)
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
            subprocess.run(["git", *command], check=True)

    return commit


def changes(before, after):
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line.startswith(("+", "-"))]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_setting_a_value_changes_its_line(committed, file, ending):
    content = (ROOT / file).read_bytes().replace(b"\n", ending)
    committed(content)
    old, new = params.read(), 7
    apply_overrides(params.FILE, [f"train.epochs={new}"])
    assert len(changes(content.decode(), params.FILE.read_text())) > 20  # all of it, by DVC
    assert edited.restored(params.FILE)
    text = params.FILE.read_bytes().decode()
    assert text.count("\n") == text.count(ending.decode())
    gone, come = changes(content.decode(), text)
    assert gone.replace(str(old.train.epochs), "7").split() == come.replace("+", "-").split()
    assert come.index("#") == gone.index("#") and params.read().train.epochs == new


def test_several_values_keys_that_were_not_written_and_keys_that_go(committed):
    text = (ROOT / "params.yaml").read_text()
    committed(text.encode())
    values = ["train.techniques=[cosine,ema]", "data.image_size=null", "+train.optimizer=sgd"]
    values += ["+execution.per_gpu=2", "~folds.k", "compare.pairs=[[augment,baseline]]"]
    apply_overrides(params.FILE, values)
    assert edited.restored(params.FILE)
    said = changes(text, params.FILE.read_text())
    assert [line.partition("#")[0].rstrip() for line in said if line.startswith("+")] == [
        "+   optimizer: sgd",
        "+   techniques: [cosine, ema]",
        "+   per_gpu: 2",
        "+   pairs: [[augment, baseline]]",
    ]
    assert len([line for line in said if line.startswith("-")]) == 3
    assert params.read().train.optimizer == "sgd"


def test_what_people_wrote_stays(committed):
    """Whatever they did to the committed file."""
    text = "study: a  # x\nseed: 1\ntrain: {epochs: 3}\nlist:\n  - 1\n  - null\nnone: null\n"
    committed(text.encode())
    for mine in (text, text.replace("# x", "# mine"), text.replace("[", ""), "a: [", "7", ""):
        params.FILE.write_text(mine)
        assert not edited.restored(params.FILE)
        assert params.FILE.read_text() == mine


def test_without_git_nothing_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    params.FILE.write_text("a: 1\n")
    assert not edited.restored(params.FILE)
    monkeypatch.setenv("PATH", "nowhere")
    assert not edited.restored(params.FILE)
