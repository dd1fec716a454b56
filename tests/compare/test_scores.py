"""From grids of answers to values of single images."""

from dataclasses import dataclass

import numpy as np
import pytest

from cnnlab.compare.contrasts import Incomparable
from cnnlab.compare.scores import Outcomes, ensembles, pooled, split_of
from cnnlab.tasks.classification import METRICS


@dataclass
class Answer:
    image_id: np.ndarray
    labels: np.ndarray
    outputs: np.ndarray


def grid_of(seed=0, repeats=2, folds=3, members=2, n=5, classes=3):
    """Each repeat holds image ids 10, 11, ... out in other folds, in any order."""
    rng = np.random.default_rng(seed)
    order = np.random.default_rng(7)  # the same for all
    ids = [order.permutation(folds * n).reshape(folds, n) for _ in range(9)][:repeats]
    return [
        [
            [
                Answer(
                    10 + ids[repeat][fold],
                    ids[repeat][fold] % classes,
                    rng.dirichlet(np.ones(classes), n).astype(np.float32),
                )
                for _ in range(members)
            ]
            for fold in range(folds)
        ]
        for repeat in range(repeats)
    ]


def test_outcomes_are_the_answers_in_the_order_of_images():
    grid = grid_of()
    found = Outcomes.of(grid, "x")
    np.testing.assert_array_equal(found.image_id, 10 + np.arange(15))
    np.testing.assert_array_equal(found.labels, np.arange(15) % 3)
    assert found.outputs.shape == (2, 2, 15, 3) and found.fold.shape == (2, 15)
    for r, row in enumerate(grid):
        for f, cell in enumerate(row):
            for m, answer in enumerate(cell):
                rows = answer.image_id - 10
                assert (found.fold[r, rows] == f).all()
                np.testing.assert_array_equal(found.outputs[r, m, rows], answer.outputs)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "mcc", "ece"])
def test_a_fold_has_the_score_of_its_images_alone(metric):
    grid, score = grid_of(), METRICS[metric].score
    found = Outcomes.of(grid, "x").of_fold(score)
    for r, f in np.ndindex(2, 3):
        alone = [score(answer.labels, answer.outputs.astype(float)) for answer in grid[r][f]]
        assert found[r, f] == pytest.approx(np.mean(alone), abs=1e-6)


def test_members_have_values_each_and_together():
    grid, values = grid_of(), METRICS["brier"].values
    each = Outcomes.of(grid, "x").of_each(values)
    assert each.shape == (2, 15, 2) and each.dtype == np.float64
    cell = grid[1][2]
    rows = cell[0].image_id - 10
    for member, answer in enumerate(cell):
        expected = values(answer.labels, answer.outputs.astype(float))
        np.testing.assert_allclose(each[1, rows, member], expected, atol=1e-6)
    mean = (cell[0].outputs.astype(float) + cell[1].outputs) / 2
    together = Outcomes.of(ensembles(grid), "x").of_each(values)
    assert together.shape == (2, 15, 1)
    np.testing.assert_allclose(together[1, rows, 0], values(cell[0].labels, mean), atol=1e-6)
    assert np.all(together[..., 0] <= each.mean(axis=2) + 1e-9)  # a convex loss


def test_what_an_ensemble_says_may_be_something_else_than_the_mean():
    """As where outputs are counts: its members are asked together."""
    grid = grid_of()
    last = ensembles(grid, lambda cell: cell[-1].outputs)
    np.testing.assert_array_equal(
        Outcomes.of(last, "x").outputs[:, 0], Outcomes.of(grid, "x").outputs[:, 1]
    )


def test_a_metric_of_a_repeat_is_that_of_all_its_images_together():
    """Out of fold, pooled: classes need not be in every fold."""
    outcomes = Outcomes.of(grid_of(members=1), "x")
    for name, metric in METRICS.items():
        each = outcomes.of_each(metric.values)
        for repeat in (0, 1):
            expected = metric.score(outcomes.labels, outcomes.outputs[repeat, 0])
            assert each[repeat].mean() == pytest.approx(expected, abs=1e-6), name


def test_float32_probabilities_sum_to_one_again():
    outcomes = Outcomes.of(grid_of(classes=7), "x")
    sums = outcomes.of_each(lambda labels, p: p.sum(axis=1))
    np.testing.assert_allclose(sums, 1, rtol=1e-12)


def test_pooled_holds_all_answers():
    labels, probabilities = pooled(grid_of())
    assert labels.shape == (2 * 3 * 2 * 5,) and probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


def outcomes_of(**grids):
    return {name: Outcomes.of(grid, name) for name, grid in grids.items()}


def test_variants_share_a_split_and_the_longest_tells_it():
    outcomes = outcomes_of(a=grid_of(0), b=grid_of(1, repeats=4), c=grid_of(2))
    groups = {image: f"group {image // 2}" for image in range(10, 25)}
    split = split_of(outcomes, groups)
    np.testing.assert_array_equal(split.fold, outcomes["b"].fold)
    same = split.group[:, None] == split.group
    np.testing.assert_array_equal(same, np.equal.outer(*[np.arange(10, 25) // 2] * 2))
    assert sorted(set(split.group)) == [*range(8)]
    assert split.folds == 3


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (grid_of(1, folds=2), "variant b was evaluated on other images than another"),
        (grid_of(1, n=4), "variant b was evaluated on other images than another"),
        (grid_of(1)[::-1], "variant b was evaluated in other folds than another"),
        (grid_of(1, members=1), "variant b: 1 members and 3 outputs, another: 2 and 3"),
    ],
)
def test_variants_that_cannot_be_compared_are_named(other, message):
    outcomes = outcomes_of(a=grid_of(0, repeats=2), b=other)
    with pytest.raises(Incomparable, match=message):
        split_of(outcomes, {image: image for image in range(30)})


def broken(change):
    grid = grid_of(1)
    change(grid)
    return grid


def not_finite(grid):
    grid[1][2][0].outputs[3, 1] = np.nan


def other_image(grid):
    grid[1][2][1].image_id[0] = 99


def one_member_less(grid):
    del grid[1][1][1]


def one_image_less(grid):
    answer = grid[1][0][0]
    for name in ("image_id", "labels", "outputs"):
        setattr(answer, name, getattr(answer, name)[1:])


def one_image_less_of_all(grid):
    for member in (0, 1):
        answer = grid[1][0][member]
        for name in ("image_id", "labels", "outputs"):
            setattr(answer, name, getattr(answer, name)[1:])


def twice(grid):
    grid[1][0][0].image_id[0] = grid[1][1][0].image_id[0]


def member_of_another_fold(grid):
    grid[1][0][1] = grid[1][1][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (not_finite, "variant b: repeat 1, fold 2, member 0 holds outputs"),
        (other_image, "variant b: repeat 1, fold 2, member 1 was evaluated on other images"),
        (one_member_less, "variant b: repeat 1, fold 1 has 1 members, another 2"),
        (one_image_less, "variant b: repeat 1, fold 0, member 1 was evaluated on images of anoth"),
        (one_image_less_of_all, "variant b: not every image is held out once a repeat"),
        (twice, "variant b: repeat 1, fold 0, member 1 was evaluated on images of another fold"),
        (member_of_another_fold, "variant b: repeat 1, fold 0, member 1 was evaluated on images"),
    ],
)
def test_answers_that_do_not_fit_are_named_with_their_place(change, message):
    with pytest.raises(Incomparable, match=message):
        Outcomes.of(broken(change), "b")
