"""COCO's JSON, VOC's XML and YOLO's text: the same boxes, and what is wrong is named."""

import json
import pickle
import struct

import numpy as np
import pytest

from cnnlab.data.sources import SOURCES
from cnnlab.errors import UserError
from cnnlab.ignored import turned
from tests.data.test_mask_folder import PACKINGS, picture, write

SIZE = (40, 60)  # height, width
OBJECTS = {  # class, y0, x0, y1, x1
    "a": [("dog", 4, 6, 20, 30), ("cat", 10, 12, 14, 18)],
    "b": [("owl", 0, 0, 40, 60)],
    "c": [],
}
NAMES = ("cat", "dog", "owl")


def images(folder="images"):
    return {f"{folder}/{name}.png": picture(i, SIZE) for i, name in enumerate(OBJECTS)}


def coco_json(objects=OBJECTS, **of_each):
    annotations = [
        {
            "id": 10 * i + k,
            "image_id": i,
            "category_id": {"cat": 3, "dog": 5, "owl": 9, "bat": 12}[name],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            **of_each,
        }
        for i, some in enumerate(objects.values())
        for k, (name, y0, x0, y1, x1) in enumerate(some)
    ]
    named = [
        {"id": i, "file_name": f"{n}.png", "height": 40, "width": 60} for i, n in enumerate(objects)
    ]
    categories = [
        {"id": n, "name": c} for c, n in (("owl", 9), ("bat", 12), ("dog", 5), ("cat", 3))
    ]
    return {"images": named, "annotations": annotations, "categories": categories}


def coco(objects=OBJECTS):
    return images() | {"instances.json": json.dumps(coco_json(objects)).encode()}


def xml(objects, size=SIZE, more=""):
    each = "".join(
        f"<object><name>{name}</name><difficult>0</difficult>{more}<part><name>head</name><bndbox>"
        "<xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
        f"<bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>"
        for name, y0, x0, y1, x1 in objects
    )
    size = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"<?xml version='1.0'?><annotation>{size}{each}</annotation>".encode()


def voc(objects=OBJECTS):
    texts = {f"Annotations/{name}.xml": xml(some) for name, some in objects.items()}
    return images("JPEGImages") | texts


def lines(objects, names=NAMES):
    return "".join(
        f"{names.index(name)} {(x0 + x1) / 120} {(y0 + y1) / 80}"
        f" {(x1 - x0) / 60} {(y1 - y0) / 40}\n"
        for name, y0, x0, y1, x1 in objects
    ).encode()


def yolo(objects=OBJECTS, names=b"names:\n  0: cat\n  1: dog\n  2: owl\n  7: bat\n"):
    texts = {f"labels/{name}.txt": lines(some) for name, some in objects.items() if some}
    return images() | texts | ({"data.yaml": names} if names else {})


KINDS = {"coco_boxes": coco, "voc": voc, "yolo": yolo}


@pytest.fixture
def opened(tmp_path):
    def open_source(kind, files, packing="folder"):
        path = write(tmp_path / ("raw" if packing == "folder" else f"raw.{packing}"), files)
        return SOURCES[kind].open_source(str(path))

    return open_source


def found(source):
    return [(f.what, f.where, f.done) for f in source.findings]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_them_say_the_same(opened, kind, packing):
    source = opened(kind, KINDS[kind](), packing)
    assert source.object_classes == NAMES and source.mask is None and source.classes is None
    assert source.table["label"].tolist() == ["dog", "owl", "cat"]
    assert [name[-5:] for name in source.table["source"]] == ["a.png", "b.png", "c.png"]
    boxes = pickle.loads(pickle.dumps(source.boxes))
    for key, some in zip(source.keys, OBJECTS.values(), strict=True):
        made = boxes(key)
        assert made.dtype == np.float32 and made.shape == (len(some), 5)
        expected = [[NAMES.index(name), *box] for name, *box in some]
        np.testing.assert_allclose(made, np.reshape(expected, (-1, 5)), atol=1e-4)
    contents = source.read(source.keys)
    assert contents[0].startswith(b"\x89PNG") and len(contents) == 3
    without = ("image without objects", source.table["source"][2], "kept")
    assert without in found(source)
    bats = [("class without objects", "bat", "left out")] if kind != "voc" else []
    assert sorted(found(source)) == sorted([without, *bats])


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_cut_off_at_the_edge_or_left_out(opened, kind):
    """What is beyond the edge, what has no area, and what is outside."""
    odd = {
        "a": [("dog", 4, 6, 20, 30)],
        "b": [("owl", 30, 50, 44, 66), ("cat", 10, 10, 10, 20), ("dog", 5, 5, 9, 9)],
        "c": [("dog", 41, 5, 50, 10), ("cat", 0, 0, 40.2, 60.2)],
    }
    if kind == "yolo":  # whose centres are shares of the image
        odd["c"][0] = ("dog", 40.2, 5, 40.2 + 1e-3, 10)
    source = opened(kind, KINDS[kind](odd))
    boxes = [source.boxes(key).tolist() for key in source.keys]
    np.testing.assert_allclose(boxes[1], [[2, 30, 50, 40, 60], [1, 5, 5, 9, 9]], atol=1e-4)
    np.testing.assert_allclose(boxes[2], [[0, 0, 0, 40, 60]], atol=1e-4)
    b, c = source.table["source"][1:]
    assert {f for f in found(source) if f[0].startswith("box")} == {
        ("box that reaches beyond its image", b, "cut off"),
        ("box without an area", b, "left out"),
        ("box outside of its image", c, "left out"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_images_without_objects_is_refused(opened, kind):
    files = KINDS[kind]({name: [] for name in OBJECTS})
    if kind == "yolo":
        files["labels/a.txt"] = b"\n"
    with pytest.raises(UserError, match=r"data.raw = .*: no object on any of 3 images"):
        opened(kind, files)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_cannot_be_read_is_left_to_decoding(opened, kind):
    files = KINDS[kind]()
    name = next(name for name in files if name.endswith("b.png"))
    files[name] = files[name][:20]
    source = opened(kind, files)
    assert len(source.table) == 3 and len(source.boxes(source.keys[0])) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_known_by_their_folders(opened, kind):
    if kind == "coco_boxes":
        files = {}
        for part, name in (("train", "a"), ("test", "b")):
            some = coco_json({name: OBJECTS[name]})
            files[f"{part}/instances.json"] = json.dumps(some).encode()
            files[f"{part}/{name}.png"] = picture(1, SIZE)
    else:
        parts = {"a": "train", "b": "test", "c": "train"}
        files = {
            name if name.endswith("yaml") else f"{parts[name[-5]]}/{name}": content
            for name, content in KINDS[kind]().items()
        }
    source = opened(kind, files)
    assert (
        dict(zip(source.table["source"].str[-5:], source.table["split"], strict=True))["b.png"]
        == "test"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bbox": [1, 2, 3]}, r"annotations\[0\] has bbox = \[1, 2, 3\]; allowed: 4 numbers"),
        ({"bbox": [1, 2, 3, "4"]}, "bbox"),
        ({"bbox": [1, 2, 3, float("nan")]}, "bbox"),
        ({"bbox": [1, 2, 3, float("inf")]}, "bbox"),
        ({"bbox": [1, 2, 3, 10**400]}, "bbox"),
        ({"bbox": [1, 2, True, 4]}, "bbox"),
        ({"bbox": None}, "bbox"),
        ({"category_id": 77}, r"category_id = 77; allowed: one of \[3, 5, 9, 12\]"),
        ({"image_id": 9}, "image_id = 9"),
        ({"iscrowd": 3}, "iscrowd = 3"),
    ],
)
def test_bad_annotations_of_coco_are_named(opened, change, told):
    whole = coco_json()
    whole["annotations"][0] |= change
    files = images() | {"instances.json": json.dumps(whole).encode()}
    with pytest.raises(UserError, match=f"instances.json: .*{told}"):
        opened("coco_boxes", files)


def test_crowds_and_a_missing_bbox(opened):
    whole = coco_json({**OBJECTS, "c": [("dog", 1, 2, 9, 9), ("dog", 3, 4, 50, 20)]})
    whole["annotations"][0]["iscrowd"] = whole["annotations"][3]["iscrowd"] = 1
    source = opened("coco_boxes", images() | {"instances.json": json.dumps(whole).encode()})
    ignored = "not learnt, ignored in the test"
    assert ("crowd", "images/a.png", ignored) in found(source)
    made = [source.boxes(key).tolist() for key in source.keys]
    assert made[0] == [[0, 10, 12, 14, 18], [turned(1), 4, 6, 20, 30]]
    assert made[2] == [[1, 3, 4, 40, 20], [turned(1), 1, 2, 9, 9]]
    assert source.table["label"].tolist() == ["cat", "owl", "dog"]
    # A class that has nothing but crowds is none, nor are these then regions of any.
    whole["annotations"][4]["iscrowd"] = 1
    source = opened("coco_boxes", images() | {"instances.json": json.dumps(whole).encode()})
    assert source.object_classes == ("cat", "owl") and len(source.boxes(source.keys[2])) == 0
    assert source.boxes(source.keys[0]).tolist() == [[0, 10, 12, 14, 18]]
    assert ("image without objects", "images/c.png", "kept") in found(source)
    del whole["annotations"][1]["bbox"]
    with pytest.raises(UserError, match=r"annotations\[1\] has no 'bbox'"):
        opened("coco_boxes", {"instances.json": json.dumps(whole).encode()})


BOMB = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
OUTSIDE = b"""<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>"""


@pytest.mark.parametrize("content", [BOMB, OUTSIDE, b"<!DOCTYPE a SYSTEM 'x.dtd'><annotation/>"])
@pytest.mark.parametrize("coded", [False, True])
def test_xml_with_a_document_type_is_refused(opened, content, coded):
    if coded:  # in which no bytes spell <!DOCTYPE
        text = content.decode()
        text = text.replace('<?xml version="1.0"?>', "")
        content = text.encode("utf-16")
    with pytest.raises(UserError, match=r"Annotations/b.xml: has a document type or entities"):
        opened("voc", voc() | {"Annotations/b.xml": content})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no XML that can be read"),
        (b"<annotation>", "is no XML"),
        (b"\xff\xfe\x00", "is no XML"),
        (b"<?xml version='1.0' encoding='nope'?><annotation/>", "is no XML"),
        (b"<kml/>", "holds <kml>; allowed: <annotation>"),
        (xml([("", 1, 1, 2, 2)]), "object 1 has no name"),
        (
            xml([("cat", 1, 1, 2, 2)]).replace(
                b"<ymax>2</ymax></bndbox></object>", b"</bndbox></object>"
            ),
            "has ymax = ''",
        ),
        (xml([("cat", 1, 1, "two", 2)]), "has ymax = 'two'; allowed: a number"),
        (xml([("cat", 1, 1, "inf", 2)]), "has ymax = 'inf'"),
        (xml([], ("-4", 60)), "has the size '60 x -4'"),
    ],
)
def test_bad_xml_is_named(opened, content, told):
    with pytest.raises(UserError, match=f"Annotations/b.xml: .*{told}"):
        opened("voc", voc() | {"Annotations/b.xml": content})


def test_xml_of_other_images_and_difficult_objects(opened):
    files = voc() | {
        "Annotations/a.xml": xml(OBJECTS["a"], (41, 60)),
        "Annotations/b.xml": xml(OBJECTS["b"], (0, 0)).replace(b"<difficult>0", b"<difficult>1"),
        "Annotations/z.xml": xml(OBJECTS["b"]),
        "JPEGImages/y.png": picture(9, SIZE),
        "SegmentationClass/b.png": picture(9, SIZE),
    }
    source = opened("voc", files)
    assert source.table["label"].tolist() == ["owl", "owl"] and source.object_classes == ("owl",)
    assert set(found(source)) == {
        ("image of another size than its .xml says", "JPEGImages/a.png", "left out"),
        ("object marked difficult", "JPEGImages/b.png", "learnt, ignored in the test"),
        (".xml without an image", "Annotations/z.xml", "left out"),
        ("image without an .xml", "JPEGImages/y.png", "left out"),
        ("image outside of the layout", "SegmentationClass/b.png", "left out"),
        ("image without objects", "JPEGImages/c.png", "kept"),
    }
    box = list(OBJECTS["b"][0][1:])  # an object, and ignored
    assert source.boxes(source.keys[0]).tolist() == [[0, *box], [turned(0), *box]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"0 0.5 0.5 0.1", "line 1 has 4 values; allowed: class x y width height"),
        (b"\n0 0.1 0.2 0.3 0.4 0.5 0.6", r"line 2 has 7 values \(a polygon or points\?\)"),
        (b"3 0.5 0.5 0.1 0.1", "line 1 has the class '3'; allowed: 0, 1, 2, 7"),
        (b"-1 0.5 0.5 0.1 0.1", "has the class '-1'"),
        (b"1.0 0.5 0.5 0.1 0.1", "has the class '1.0'"),
        (b"99999999999 0.5 0.5 0.1 0.1", "has the class"),
        (b"0 0.5 0.5 a 0.1", "line 1 is '0 0.5 0.5 a 0.1'; allowed: shares"),
        (b"0 0.5 0.5 nan 0.1", "allowed: shares"),
        (b"0 12 14 3 9", "allowed: shares of the image, 0 to 1"),
        (b"0 0.5 0.5 -0.1 0.1", "allowed: shares"),
        (struct.pack(">I", 0xFFFE0000), "is no text in UTF-8"),
    ],
)
def test_bad_lines_of_yolo_are_named(opened, content, told):
    with pytest.raises(UserError, match=f"labels/b.txt: .*{told}"):
        opened("yolo", yolo() | {"labels/b.txt": content})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (b"train: x\nnc: 3\nnames: [cat, dog, owl]", ("cat", "dog", "owl")),
        (b"names: {0: cat, 1: dog, 2: owl}", ("cat", "dog", "owl")),
        (b"names: {2: owl, 1: 12, 0: cat}", ("cat", "12", "owl")),
        (b"nc: 3", ("0", "1", "2")),  # says no names
        (None, ("0", "1", "2")),
    ],
)
def test_names_of_yolo(opened, names, expected):
    assert opened("yolo", yolo(names=names)).object_classes == expected


def test_names_of_yolo_in_a_list_and_ids_that_skip(opened):
    files = yolo(names=None) | {"classes.txt": b"cat\r\ndog\r\n\xc3\xb6wl\n"}
    assert opened("yolo", files).object_classes == ("cat", "dog", "öwl")
    some = yolo(names=None) | {"labels/b.txt": b"17 0.5 0.5 1 1"}
    source = opened("yolo", some | {"classes.txt": b"".join(b"c%d\n" % i for i in range(20))})
    assert source.object_classes == ("c0", "c1", "c17")
    assert source.boxes(source.keys[1])[:, 0].tolist() == [2]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (b"names: [cat, cat]", "a name twice"),
        (b"names: 3", "names that are '3'; allowed: a list, or id: name"),
        (b"names: []", "names that are"),
        (b"names: {x: cat}", "'x': 'cat' among its names"),
        (b"names: [[1]]", "among its names"),
        (b"names: [cat", "is no YAML"),
        (b"names: !!python/object/apply:os.system [x]", "is no YAML"),
    ],
)
def test_bad_names_of_yolo_are_named(opened, names, told):
    with pytest.raises(UserError, match=f"data.yaml: .*{told}"):
        opened("yolo", yolo(names=names))


def test_an_empty_line_among_names_is_no_class_and_moves_none(opened):
    files = yolo(names=None)
    with pytest.raises(UserError, match=r"classes\.txt: has a name twice, or an empty one"):
        opened("yolo", files | {"classes.txt": b"cat\n\ndog\nowl\n"})
    source = opened("yolo", files | {"classes.txt": b"cat\ndog\nowl\n \n\n"})
    assert source.object_classes == ("cat", "dog", "owl")


def test_two_lists_of_names_have_to_agree(opened):
    with pytest.raises(UserError, match=r"data.yaml says other than classes.txt"):
        opened("yolo", yolo() | {"classes.txt": b"cat\ndog\nowl\n"})


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_place_is_refused_with_the_layout(opened, kind):
    with pytest.raises(UserError, match="found; expected"):
        opened(kind, {"readme.txt": b"nothing"})
