"""Regions that the evaluation ignores, among objects."""

import numpy as np

from cnnlab.ignored import parted, turned


def test_numbers_turn_back():
    assert turned(0) == -2 and turned(7) == -9
    assert turned(turned(np.arange(5))).tolist() == [0, 1, 2, 3, 4]


def test_objects_regions_and_what_is_both():
    crowd, difficult = [0, 0, 9, 9], [1, 2, 3, 4]
    boxes = [[1, *difficult], [0, *difficult], [1, 5, 5, 6, 6]]  # two classes, the same place
    boxes += [[turned(0), *crowd], [turned(1), *difficult], [-1] * 5]
    objects, regions = parted(np.array(boxes, np.float32))
    assert objects.tolist() == [[0, *difficult], [1, 5, 5, 6, 6]]
    assert regions.tolist() == [[0, *crowd], [1, *difficult]]
    assert [some.shape for some in parted(np.full((3, 5), -1))] == [(0, 5), (0, 5)]
