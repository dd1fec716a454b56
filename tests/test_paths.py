"""Where a study's clone is."""

from pathlib import Path

import pytest

from cnnlab import paths


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/home/me/clone", "/home/me/clone"),
        ("/home/me/clone/.dvc/tmp/exps/tmpab12", "/home/me/clone"),
        ("/home/me/clone/.dvc/tmp/exps/standalone/tmpab12", "/home/me/clone"),
        ("/home/me/.dvc/clone", "/home/me/.dvc/clone"),
    ],
)
def test_the_workspace_of_an_experiment_is_the_clone_s(folder, root, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", folder)
    assert paths.workspace() == Path(root)


def test_the_workspace_is_where_the_code_is_when_dvc_does_not_run_it(root, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert paths.workspace() == root
