"""`make ui`: the page that it prints shows the variants of the study, the best first."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnnlab import paths, tracking, ui
from cnnlab.errors import UserError
from tests.test_report_html import CHROMIUM
from tests.test_tracking import answering
from tests.test_tracking_server import free_port

SCORES = {"middle": 0.5, "best": 0.75, "worst": 0.25}


@pytest.fixture
def study(tmp_path, monkeypatch, root):
    """A study's folder, which works there, with a store of its own."""
    shutil.copy(root / "tests/params.yaml", tmp_path / "params.yaml")
    monkeypatch.setattr(paths, "workspace", lambda: tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def opened(monkeypatch):
    """The pages that a browser is asked for."""
    pages = []
    monkeypatch.setattr(ui.webbrowser, "open", pages.append)
    return pages


def test_a_server_s_page_is_shown_and_none_is_started(study, monkeypatch, capsys, opened):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000/")
    monkeypatch.setattr(tracking, "page", lambda study, metric: f"#/{study}/{metric}")
    monkeypatch.setenv("DISPLAY", ":0")
    assert ui.main() == 0
    page = "http://mlflow.example:5000/#/digits/accuracy"
    assert page in capsys.readouterr().out and opened == [page]


def test_without_a_screen_no_browser_is_opened(study, monkeypatch, capsys, opened):
    monkeypatch.setattr(ui.sys, "platform", "linux")
    ui._say("http://127.0.0.1:5000", "", "digits")
    said = capsys.readouterr()
    assert "digits is not in MLflow yet" in said.err and "http://127.0.0.1:5000/" in said.out
    assert opened == []


def test_a_port_that_is_taken_is_said(study):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        with pytest.raises(UserError, match="is another program at http"):
            ui._wait(process, "http://127.0.0.1:1")


def test_mlflow_that_does_not_answer_is_ended(study, monkeypatch):
    monkeypatch.setattr(tracking, "page", lambda *_: "")
    monkeypatch.setattr(ui, "SECONDS", 0)
    began = []
    start = subprocess.Popen

    def sleep(command, **_):
        began.append(start([sys.executable, "-c", "import time; time.sleep(600)"]))
        return began[0]

    monkeypatch.setattr(ui.subprocess, "Popen", sleep)
    with pytest.raises(UserError, match="did not answer"):
        ui.main()
    assert began[0].poll() is not None


def test_its_page_shows_the_variants_the_best_first(study, record, pool_in, root, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    pool = pool_in(tmp_path / "pool")
    for name, accuracy in SCORES.items():
        done = [
            answering(record(name, 0, fold, accuracy=accuracy + fold / 4), pool) for fold in (0, 1)
        ]
        with tracking.Run("digits", "variant", name, tracking.mark(done)) as run:
            run.describe({"trials": 2}, pool)
            run.trial(done[0])
            run.finish(done, pool)
    port = str(free_port())
    environment = os.environ | {"MLFLOW_PORT": port, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "cnnlab.ui"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            line = next(line for line in process.stdout if "the variants of digits: " in line)
            page = line.partition(": ")[2].strip()
            assert page.startswith(f"http://127.0.0.1:{port}/#/experiments/")
            with playwright.sync_playwright() as p:
                browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                tab = browser.new_page(viewport={"width": 1600, "height": 900})
                tab.set_default_timeout(300_000)
                tab.goto(page)
                tab.wait_for_selector("text=worst")
                text = tab.inner_text("body")
                tab.screenshot(path=tmp_path / "page.png")  # to look at, where this fails
                browser.close()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert "r0_f0_m0" not in text  # no trials
    places = [text.index(name) for name in ("best", "middle", "worst")]
    assert places == sorted(places)
    for column in ("accuracy_low", "accuracy_high", "accuracy_sd", "nll", "trials"):
        assert column in text, column
    assert Path("mlflow.db").exists()
