"""What is measured while a network trains is what its task's metrics say."""

import numpy as np
import pytest

from cnnlab.detections import DETECTIONS
from cnnlab.tasks import TASKS
from cnnlab.train.tasks import LEARNING

# Of each image class and score of a detection and whether it is a hit; then objects, and the loss.
FOUND = np.zeros((2, 12 * DETECTIONS + 3), np.float32)
FOUND[:, : 12 * DETECTIONS : 12] = -1
FOUND[:, :12] = [[0, 0.9, *[1] * 6, *[0] * 4], [1, 0.8, *[0] * 10]]
FOUND[:, -3:] = [[1, 1, 0.5], [0, 1, 0.2]]

OUTPUTS = {
    "detection": FOUND,
    "classification": np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]], np.float32),
    # Of two classes: shared, predicted, true, boundary F1, cross-entropy, pixels.
    "segmentation": np.array(
        [[5, 3, 6, 4, 7, 3, 1, 0.5, 0.3, 10], [0, 9, 1, 9, 0, 10, -1, 1, 2, 10]]
    ),
}


@pytest.mark.parametrize("task", LEARNING.names())
def test_scores_are_the_values_of_the_metrics(task):
    labels, outputs = np.array([0, 1]), OUTPUTS[task]
    measured = LEARNING[task].scores(labels, outputs)
    assert list(measured) == list(TASKS[task].MEASURED)
    assert list(measured)[1] == LEARNING[task].LOSS
    for name, value in measured.items():
        assert value == pytest.approx(TASKS[task].METRICS[name].score(labels, outputs), rel=1e-6)


def test_every_task_is_learnt():
    assert LEARNING.names() == TASKS.names()
