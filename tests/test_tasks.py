"""A task is a seam: what is not a task's own knows no task by name."""

import ast
from pathlib import Path

import pytest

from cnnlab.data.truths import TRUTHS
from cnnlab.tasks import TASKS
from cnnlab.train.tasks import LEARNING

ROOT = Path(__file__).parents[1]
COCO = ("_coco", "coco_masks", "coco_boxes")  # which calls regions so
OWN = (
    "masked",
    "final_masks",
    "predict_boxes",
    "predict_masks",
    "detected",
    "final_boxes",
)  # files of one task
FILES = sorted(
    path.relative_to(ROOT)
    for top in ("cnnlab", "stages")
    for path in (ROOT / top).rglob("*.py")
    if path.stem not in (*TASKS.names(), *COCO, *OWN) and path.parts[-2] != "techniques"
)


def named(text):
    """Tasks that code names: as a text of its own, or as a module that it imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and node.value in TASKS.names():
            found.add(node.value)
        elif isinstance(node, ast.ImportFrom):
            names = {*(node.module or "").split("."), *(alias.name for alias in node.names)}
            found |= names & {*TASKS.names()}
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_a_task_s_own_files_know_it(path):
    """That tasks are classification where nothing else is said, and that backbones learn by it, is
    known in more places."""
    assert named((ROOT / path).read_text()) <= {"classification"}


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("if task == 'segmentation': pass", "segmentation"),
        ("from cnnlab.tasks.segmentation import METRICS", "segmentation"),
        ("from cnnlab.tasks import segmentation", "segmentation"),
        ('"""Of segmentation."""', None),
    ],
)
def test_a_name_is_found(text, task):
    assert named(text) == ({task} if task else set())


def test_every_task_has_all_of_its_parts():
    from stages.parts.compare import PARTS as COMPARE
    from stages.parts.describe import PARTS as DESCRIBE
    from stages.parts.final import PARTS as FINAL
    from stages.parts.inspect import PARTS as INSPECT
    from stages.parts.visualize import PARTS as VISUALIZE

    for registry in (LEARNING, TRUTHS, COMPARE, DESCRIBE, FINAL, INSPECT, VISUALIZE):
        assert registry.names() == TASKS.names(), registry.package
