"""How well classes are found out of fold: of those that the development images have."""

from types import SimpleNamespace

import numpy as np
import pytest

from cnnlab.compare.scores import Outcomes
from cnnlab.detections import DETECTIONS, WIDE
from stages.parts.compare import PARTS, detection, segmentation

NAMES = ("cat", "dog", "owl")


def boxes():
    """A cat on each of 4 images, found; and a dog, where none is."""
    outputs = np.zeros((4, WIDE * DETECTIONS + 3 + 1))
    each = outputs[:, : WIDE * DETECTIONS].reshape(4, DETECTIONS, WIDE)
    each[..., 0] = -1
    each[:, 0], each[:, 1, :2] = (0, 0.9, *[1] * 10), (1, 0.8)
    outputs[:, : WIDE * DETECTIONS] = each.reshape(4, -1)
    outputs[:, WIDE * DETECTIONS] = 1
    return outputs


def masks():
    """A cat all over 4 images of 10 pixels, found; and a dog, where none is."""
    return np.tile([9, 0, 0, 9, 1, 0, 10, 0, 0, 0.9, 0, -1, 0.1, 10.0], (4, 1))


PARTED = pytest.mark.parametrize(("part", "made"), [(detection, boxes), (segmentation, masks)])


def written_of(part, outputs, groups, monkeypatch):
    """The rows and the figure's description."""
    written = []
    monkeypatch.setattr(part, "csv", lambda rows, *_: written.extend(rows))
    monkeypatch.setattr(part, "pictures", lambda drawn, _: written.append(drawn["classes"].alt))
    monkeypatch.setattr(part.comparison, "rules_of", lambda *_: None)
    monkeypatch.setattr(
        part.tables,
        "intervals",
        lambda values, *_: {v: (x.mean(), 0, 1) for v, x in values.items()},
    )
    of = Outcomes(np.arange(4), np.zeros(4, int), np.zeros((1, 4), int), outputs[None, None])
    study = SimpleNamespace(
        name="study",
        options=None,
        dev=SimpleNamespace(classes=NAMES, groups=dict(enumerate(groups))),
        compared=SimpleNamespace(outcomes={"baseline": of}, split=None),
    )
    part.compared(study)
    return written


@PARTED
def test_a_class_that_the_test_alone_has_is_left_out(part, made, monkeypatch):
    assert part.__name__.rpartition(".")[2] in PARTS.names()
    row, alt = written_of(part, made(), [*"abcd"], monkeypatch)
    assert row["class"] == "cat" and row[part.COLUMNS[2]] in (1.0, 0.9)
    assert (row["low"], row["high"]) == (0, 1)
    assert "dog" not in alt and "owl" not in alt


@PARTED
def test_a_class_of_one_group_alone_has_no_interval(part, made, monkeypatch):
    row, alt = written_of(part, made(), [*"aaaa"], monkeypatch)
    assert row[part.COLUMNS[2]] in (1.0, 0.9) and "[" not in alt
    assert np.isnan([row["low"], row["high"]]).all()
