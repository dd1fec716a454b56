"""Letters of other scripts in figures."""

import pytest

from cnnlab.look import letters
from cnnlab.look.figure import blank, house_style, write


@pytest.fixture
def plain(monkeypatch):
    """A machine that has matplotlib's own font alone."""
    for cached in (letters.families, letters._letters, letters._tell):
        cached.cache_clear()
    monkeypatch.setattr(letters, "OTHERS", ())
    yield
    for cached in (letters.families, letters._letters, letters._tell):
        cached.cache_clear()


def test_letters_that_no_font_has_are_shown_by_their_codes_and_one_message(plain, capsys):
    assert letters.legible("cat") == "cat"
    assert letters.legible("Ünïcode – ±1") == "Ünïcode – ±1"
    assert capsys.readouterr().err == ""
    assert letters.legible("猫") == "[732B]"
    assert letters.legible("🦊fox") == "[1F98A]fox"
    assert letters.legible("강아지 2") == "[AC15 C544 C9C0] 2"
    assert capsys.readouterr().err.count("note: no font") == 1


def test_names_that_differ_stay_different(plain):
    names = ["猫", "犬", "さくら", "🦊fox", "fox"]
    assert len({letters.legible(name) for name in names}) == len(names)


def test_one_name_in_two_unicode_forms_is_drawn_alike(plain):
    assert letters.legible("e\u0301te\u0301") == letters.legible("\u00e9t\u00e9")


@pytest.mark.filterwarnings("error")
def test_a_figure_warns_of_no_glyph(plain):
    with house_style():
        figure = blank(60)
        text = write(figure, 10, 10, "강아지")
        figure.canvas.draw()
    assert text.get_text() == "[AC15 C544 C9C0]"


def test_a_font_that_has_the_letters_is_used(plain, monkeypatch):
    letters.families.cache_clear()
    monkeypatch.setattr(letters, "OTHERS", ("No Such Font", "STIXGeneral"))  # the second is there
    assert letters.families() == (letters.FIRST, "STIXGeneral")
