"""Where a study's clone is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnlab import paths

STUDIES = sorted(file.parent for file in Path(__file__).parents[1].glob("studies/*/params.yaml"))


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/home/me/clone", "/home/me/clone"),
        ("/home/me/clone/.dvc/tmp/exps/tmpab12", "/home/me/clone"),
        ("/home/me/clone/.dvc/tmp/exps/standalone/tmpab12", "/home/me/clone"),
        ("/home/me/.dvc/clone", "/home/me/.dvc/clone"),
        ("/home/me/studies/clone", "/home/me/studies/clone"),
    ],
)
def test_the_workspace_of_an_experiment_is_the_clone_s(folder, root, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", folder)
    assert paths.workspace() == Path(root)


def test_the_workspace_is_where_the_code_is_when_dvc_does_not_run_it(root, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert paths.workspace() == root


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_s_workspace_is_the_clone_s_without_dvc_too(study, root, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", "from cnnlab import paths; print(paths.workspace())"],
        cwd=study,  # its link to the code comes first, as with `python -m stages.train`
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == root
