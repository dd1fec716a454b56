"""Progress where there is no terminal: one line at the end."""

import types

import pytest

from cnnlab import progress
from cnnlab.progress import bar


def test_a_log_gets_one_line_at_the_end(capsys):
    with bar("train: epochs", 3) as progress:
        for _ in range(3):
            progress.advance(note="fold 1")
        assert capsys.readouterr().out == ""
    out = capsys.readouterr().out
    assert out.startswith("train: epochs: 3 in ")
    assert out.count("\n") == 1


def test_what_is_said_stays_whole(capsys):
    line = "variant [bold]x[/bold] " * 12
    with bar("work", 1) as progress:
        progress.say(line)
    assert line in capsys.readouterr().out


def test_work_that_fails_does_not_claim_its_end(capsys):
    with pytest.raises(KeyError), bar("work", 1):
        raise KeyError
    assert "work: 1 in" not in capsys.readouterr().out


def test_long_work_in_a_log_says_how_far_it_is_and_how_long_it_will_take(capsys, monkeypatch):
    now = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress, "monotonic", lambda: next(now))
    with bar("prepare", 100) as work:
        for _ in range(3):
            work.advance(10, note="fold 1")
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == "prepare: 10 of 100, 0.5 a second, 180 s left  fold 1"


def test_many_small_steps_are_all_counted(monkeypatch):
    with bar("prepare", 1000) as work:
        for _ in range(999):
            work.advance()
        monkeypatch.setattr(progress, "TICK", 0.0)
        work.advance()
        assert work._progress.tasks[work._task].completed == 1000


def test_each_hands_on_what_it_is_given(capsys):
    with bar("work", 3) as work:
        assert list(work.each("abc")) == ["a", "b", "c"]


def test_a_terminal_shows_the_rate():
    task = types.SimpleNamespace(speed=1234.5)
    assert progress.Rate().render(task).plain == "1,234/s"
    for slow in (None, 0.5):
        assert progress.Rate().render(types.SimpleNamespace(speed=slow)).plain == ""
