"""The package: its console script `cnnlab`, what the wheel asks for, `cnnlab params`."""

import importlib
import os
import re
import runpy
import subprocess
import sys
import tomllib

import pytest
from ruamel.yaml import YAML

from cnnlab import __main__ as command
from cnnlab import params
from cnnlab.errors import run_command


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["cnnlab", *arguments])
    command.main()


def test_each_command_is_a_module_that_runs(monkeypatch):
    called = []
    monkeypatch.setattr(runpy, "run_module", lambda name, **given: called.append((name, given)))
    for name, module in command.COMMANDS.items():
        assert callable(importlib.import_module(module).main)
        arguments = [] if name in command.BARE else ["--some", "thing"]
        run(monkeypatch, name, *arguments)
        assert sys.argv == [f"cnnlab {name}", *arguments]
    assert called == [
        (module, {"run_name": "__main__", "alter_sys": True})
        for module in command.COMMANDS.values()
    ]


@pytest.mark.parametrize("name", sorted(command.BARE))
def test_to_ask_what_a_command_does_does_not_run_it(monkeypatch, capsys, name):
    monkeypatch.setattr(runpy, "run_module", lambda *_, **__: pytest.fail("it runs"))
    for argument, status in (("--help", 0), ("now", 2)):
        with pytest.raises(SystemExit) as ended:
            run(monkeypatch, name, argument)
        assert ended.value.code == status
    said = capsys.readouterr()
    first = importlib.import_module(command.COMMANDS[name]).__doc__.split()[:4]
    assert first == said.out.split("\n\n")[1].split()[:4] and "unrecognized" in said.err


def test_what_is_no_command_is_told_with_those_there_are(monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r"error: no command 'nope': cnnlab \{new,try,params,"):
        run(monkeypatch, "nope")
    run(monkeypatch)
    assert "usage: cnnlab {new," in capsys.readouterr().out


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("lines", [1, 100_000])
def test_where_nobody_reads_on_a_command_ends_quietly(root, lines, unbuffered):
    write = f"sys.stdin.read(), print('x\\n' * {lines}, end='')"
    write = f"import sys; from cnnlab.errors import run_command as run; run(lambda: ({write})[1])"
    command, environment = [sys.executable, "-c", write], {**os.environ}
    environment["PYTHONUNBUFFERED"] = unbuffered
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, cwd=root, env=environment, **pipes) as process:
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b"" and process.wait() == 1


def test_another_pipe_that_breaks_is_told():
    def main():
        raise BrokenPipeError("of a worker")

    with pytest.raises(BrokenPipeError, match="of a worker"):
        run_command(main)


def test_params_are_printed_as_they_are_read(monkeypatch, capsys, root, tmp_path):
    text = (root / "tests/params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    params.main()
    said = capsys.readouterr().out
    assert params.of_text(said) == params.of_text(text)
    printed, written = YAML(typ="safe").load(said), YAML(typ="safe").load(text)
    more = printed["techniques"].keys() - written["techniques"].keys()
    for name in more:  # hyperparameters that the study does not write
        del printed["techniques"][name]
    assert printed == written and {"mixup", "lp_ft"} <= more


def test_params_that_a_study_writes_are_told_from_defaults(monkeypatch, capsys, root):
    monkeypatch.chdir(root / "studies/boxes")
    params.main()
    said = capsys.readouterr().out
    assert re.search(r"\n  epochs: 30 +# written\n", said)
    assert "\n  optimizer: adam\n" in said and "\n  remote: null\n" in said
    assert re.search(r"\n    filters: \[16, 32, 32\] +# written\n", said)
    assert "\n    dense: []\n" in said and "nll" not in said  # as its task has it
    assert params.of_text(said) == params.read()


def test_the_wheel_asks_for_what_is_imported_and_holds_what_is_not_code(root):
    """Its build is left to whoever makes one: it takes minutes where a machine is busy."""
    about = tomllib.loads((root / "pyproject.toml").read_text())
    assert about["project"]["scripts"] == {"cnnlab": "cnnlab.__main__:main"}
    for file in about["tool"]["setuptools"]["dynamic"]["dependencies"]["file"]:
        asked = re.findall(r"(?m)^[A-Za-z0-9-]+", (root / file).read_text())
    assert "tensorflow" in asked and "dvc" in asked
    assert not {"pytest", "ruff", "playwright", "uv"} & set(asked)
    patterns = about["tool"]["setuptools"]["package-data"]["cnnlab"]
    kept = {p for pattern in patterns for p in (root / "cnnlab").glob(pattern)}
    code = set((root / "cnnlab").rglob("*.py"))
    others = {p for p in (root / "cnnlab").rglob("*.*") if "__pycache__" not in p.parts}
    assert {p for p in others - code - kept if p.is_file()} == set()
