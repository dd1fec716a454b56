"""Progress where there is no terminal: a line now and then, and one at the end."""

import pytest

from cnnlab import progress as progress_module
from cnnlab.progress import bar


def test_a_log_gets_one_line_at_the_end(capsys):
    with bar("train: epochs", 3) as progress:
        for _ in range(3):
            progress.advance(note="fold 1")
        assert capsys.readouterr().out == ""
    out = capsys.readouterr().out
    assert out.startswith("train: epochs: 3 in ")
    assert out.count("\n") == 1


def test_long_work_says_in_a_log_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.0)
    with bar("train: epochs", 300) as progress:
        progress.advance(100, note="fold 1")
        assert capsys.readouterr().out.startswith("train: epochs: 100/300, about 0:")
        progress.advance(100, note="fold 2")
        assert capsys.readouterr().out.endswith(" left  fold 2\n")


def test_what_is_said_stays_whole(capsys):
    line = "variant [bold]x[/bold] " * 12
    with bar("work", 1) as progress:
        progress.say(line)
    assert line in capsys.readouterr().out


def test_work_that_fails_does_not_claim_its_end(capsys):
    with pytest.raises(KeyError), bar("work", 1):
        raise KeyError
    assert "work: 1 in" not in capsys.readouterr().out
