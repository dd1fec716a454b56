"""Folders of images with masks and with boxes, in every layout that a new study knows by itself."""

import json

import numpy as np

from tests.data.test_box_sources import NAMES, SIZE, coco_json, lines, xml
from tests.data.test_mask_folder import stored

COLOURS = ((220, 40, 40), (40, 200, 60), (60, 80, 230))


def scenes(n=30):
    """Name -> objects: a large one of each class by turns and a small one of the next; on the last
    image none."""
    made = {}
    for i in range(n - 1):
        y, x, one, other = i % 5, 2 * (i % 7), NAMES[i % 3], NAMES[(i + 1) % 3]
        made[f"s{i:02d}"] = [(one, y, x, y + 24, x + 28), (other, 30, 46, 38, 57)]
    return made | {f"s{n - 1:02d}": []}


def _painted(objects, seed):
    """Pixels and class numbers, 0 where there is nothing."""
    pixels = np.random.default_rng(seed).integers(0, 60, (*SIZE, 3), np.uint8)
    numbers = np.zeros(SIZE, np.uint8)
    for name, y0, x0, y1, x1 in objects:
        pixels[y0:y1, x0:x1] = COLOURS[NAMES.index(name)]
        numbers[y0:y1, x0:x1] = NAMES.index(name) + 1
    return pixels, numbers


def _images(of, folder="images"):
    return {
        f"{folder}/{name}.png": stored(_painted(objects, i)[0])
        for i, (name, objects) in enumerate(of.items())
    }


def mask_folder(of):
    masks = {f"masks/{n}.png": stored(_painted(o, i)[1]) for i, (n, o) in enumerate(of.items())}
    named = [f"{name},{i}" for i, name in enumerate(("background", *NAMES))]
    return _images(of) | masks | {"classes.csv": "\n".join(["name,value", *named]).encode()}


def coco(of, regions=True):
    """With boxes, and `regions`: their polygons as well."""
    content = coco_json(of)
    for annotation in content["annotations"]:
        x, y, wide, high = annotation["bbox"]
        corners = [x, y, x + wide, y, x + wide, y + high, x, y + high]
        annotation["segmentation"] = [corners] if regions else []
    return _images(of) | {"instances.json": json.dumps(content).encode()}


def voc(of):
    return _images(of, "JPEGImages") | {f"Annotations/{n}.xml": xml(o) for n, o in of.items()}


def yolo(of):
    texts = {f"labels/{name}.txt": lines(objects) for name, objects in of.items() if objects}
    return _images(of) | texts | {"data.yaml": b"names: [cat, dog, owl]\n"}


def class_folders(of):
    return {f"{NAMES[i % 3]}/{i}.png": c for i, c in enumerate(_images(of).values())}


LAYOUTS = {  # source -> task, and what makes the files
    "mask_folder": ("segmentation", mask_folder),
    "coco_masks": ("segmentation", coco),
    "coco_boxes": ("detection", lambda of: coco(of, regions=False)),
    "voc": ("detection", voc),
    "yolo": ("detection", yolo),
}
