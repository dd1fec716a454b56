"""Derived seeds."""

import itertools

from cnnlab.seeds import derive


def test_seeds_are_stable_and_distinct():
    assert derive(20, "trial", 0, 0, 0) == 1005399856  # records everywhere rest on it
    parts = list(itertools.product((0, 20), range(9), range(9), range(3)))
    seeds = {derive(study, "trial", *part) for study, *part in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_parts_are_told_apart():
    assert len({derive(1, "a"), derive(1, "b"), derive(1), derive(1, 1), derive(1, "1")}) == 5
    assert derive(1, 23) != derive(12, 3) != derive(1, 2, 3)
