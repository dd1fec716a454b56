"""How many cores a stage may use, what it imports, and whether it may compute on GPUs."""

import os
import sys

import pytest

from cnnlab.errors import UserError
from cnnlab.processes import CORES, cores, hidden, import_keras


def test_a_stage_may_be_told_how_many_cores_it_has(monkeypatch):
    monkeypatch.delenv(CORES, raising=False)
    assert cores() == os.cpu_count()
    monkeypatch.setenv(CORES, "3")
    assert cores() == 3


@pytest.mark.parametrize("bad", ["", "0", "-1", "two", "1.5"])
def test_a_bad_number_of_cores_is_said(monkeypatch, bad):
    monkeypatch.setenv(CORES, bad)
    with pytest.raises(UserError, match=f"{CORES} = '{bad}'"):
        cores()


def test_what_is_hidden_cannot_be_imported_until_it_is_shown_again():
    name = "wave"
    sys.modules.pop(name, None)
    with hidden(name, "os"), pytest.raises(ImportError):
        import wave
    with hidden(name, "os"):
        import os as there
    assert there is os
    import wave

    assert wave.__name__ == name


def test_a_stage_hides_gpus_from_tensorflow_unless_it_is_to_use_them(monkeypatch):
    import tensorflow as tf

    hidden_ones = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *of: hidden_ones.append(of))
    import_keras(gpus=True)
    assert not hidden_ones
    import_keras()
    assert hidden_ones == [([], "GPU")]
