"""COCO's JSON: regions become pixels, ids classes, and what is wrong is named."""

import copy
import json
import pickle

import numpy as np
import pytest

from cnnlab.data.sources import SOURCES, coco_masks
from cnnlab.data.sources.coco_masks import Bad, lengths, region
from cnnlab.errors import UserError
from cnnlab.overlap import VOID
from tests.data.test_mask_folder import PACKINGS, picture, stored, write


def box(x0, y0, x1, y1):
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def inside_by_winding(polygon, x, y):
    """Whether a point lies inside by the even-odd rule, edge by edge."""
    points = list(zip(polygon[::2], polygon[1::2], strict=True))
    odd = False
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


def compressed(runs):
    """`rleToString` of COCO's maskApi.c, as it is published."""
    text = ""
    for i, run in enumerate(runs):
        x = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


def runs_of(mask):
    """Runs of a mask, bool (height, width), column by column, the first one of what is outside."""
    runs, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@pytest.mark.parametrize(
    ("corners", "covered"),
    [
        (box(0, 0, 4, 4), np.s_[:4, :4]),
        (box(1, 2, 3, 5), np.s_[2:5, 1:3]),
        (box(0.4, 0.4, 2.6, 1.6), np.s_[:2, :3]),  # centres at .5
        (box(0.6, 0.6, 2.4, 1.4), np.s_[1:1, 1:2]),
        (box(-9, -9, 99, 99), np.s_[:, :]),
        (box(3, 3, 1e6, 1e6), np.s_[3:, 3:]),
        (box(20, 20, 30, 30), np.s_[:0, :0]),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_box_covers_the_pixels_whose_centres_it_holds(corners, covered, backwards):
    expected = np.zeros((6, 7), bool)
    expected[covered] = True
    points = np.reshape(corners, (-1, 2))
    points = points[::-1] if backwards else points
    np.testing.assert_array_equal(region([points.ravel().tolist()], 6, 7), expected)


def test_boxes_that_touch_share_no_pixel():
    parts = [box(0, 0, 2.5, 6), box(2.5, 0, 5, 6), box(5, 0, 7, 2.5), box(5, 2.5, 7, 6)]
    assert (sum(region([part], 6, 7).astype(int) for part in parts) == 1).all()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("at_once", [1, 2**22])
def test_polygons_agree_with_points_looked_at_one_by_one(seed, at_once, monkeypatch):
    monkeypatch.setattr(coco_masks, "AT_ONCE", at_once)
    rng = np.random.default_rng(seed)
    polygon = rng.uniform(-3, 18, 2 * rng.integers(3, 12)).tolist()  # crosses itself
    expected = [
        [inside_by_winding(polygon, x + 0.5, y + 0.5) for x in range(15)] for y in range(12)
    ]
    np.testing.assert_array_equal(region([polygon], 12, 15), expected)


def test_parts_are_put_together_and_a_few_corners_cover_nothing():
    both = region([box(0, 0, 2, 2), box(1, 1, 4, 4), box(3, 0, 4, 1)], 5, 5)
    assert both.sum() == 4 + 9 - 1 + 1
    for few in ([], [[]], [[1, 1]], [[1, 1, 4, 4]], [[1, 1, 4, 4, 1, 1]]):
        assert not region(few, 5, 5).any()


@pytest.mark.parametrize(
    ("text", "runs"),
    [  # worked out by hand from the published format
        ("", []),
        ("0", [0]),
        ("321", [3, 2, 1]),
        ("3213", [3, 2, 1, 5]),  # the fourth is a difference to the second
        ("321O", [3, 2, 1, 1]),  # -1 is 31 of five bits, sign set: 48 + 31
        ("?", [15]),
        ("`0", [16]),  # whose bit would be the sign
        ("o0", [31]),
        ("P1", [32]),
        ("T3", [100]),  # 100 = 3 * 32 + 4
        ("PPj0", [10 * 1024 + 16 * 1024]),
    ],
)
def test_compressed_runs_are_read_as_published(text, runs):
    assert compressed(runs) == text
    assert lengths(text) == runs


@pytest.mark.parametrize("seed", range(5))
def test_runs_go_down_the_columns_whether_compressed_or_not(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((40, 30)) < 0.5 ** rng.integers(1, 6)
    mask[:, 10:20] = rng.random() < 0.5
    runs = runs_of(mask)
    for counts in (runs, compressed(runs)):
        np.testing.assert_array_equal(region({"size": [40, 30], "counts": counts}, 40, 30), mask)


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        (None, "segmentation is NoneType"),
        ("321", "segmentation is str"),
        ([1, 2, 3, 4, 5, 6], "has the polygon 1; allowed: a list of x and y by turns"),
        ([[1, 2, 3]], "by turns"),
        ([["1", "2"]], "by turns"),
        ([[True, False]], "by turns"),
        ([[1, [2]]], "by turns"),
        ([[[1, 2], [3, 4]]], "by turns"),
        ([[1, None]], "by turns"),
        ([{}], "by turns"),
        ([[float("nan"), 1]], "by turns"),
        ([[float("inf"), 1]], "by turns"),
        ([[1e7, 1]], r"from -1e\+06 to 1e\+06"),
        ([[10**400, 1]], "by turns"),
        ({}, "without 'size'"),
        ({"size": [4, 5]}, "without 'counts'"),
        ({"size": [5, 4], "counts": [20]}, r"has the size \[5, 4\]; allowed: \[4, 5\], height and"),
        ({"size": "45", "counts": [20]}, "has the size '45'"),
        ({"size": [4, 5], "counts": [19]}, "add up to 19; allowed: .* add up to 20"),
        ({"size": [4, 5], "counts": [10**30]}, "add up to 10{30};"),
        ({"size": [4, 5], "counts": [25, -5]}, r"counts \[25, -5\]; allowed"),
        ({"size": [4, 5], "counts": [20.0]}, r"counts \[20.0\]"),
        ({"size": [4, 5], "counts": [True] * 20}, r"counts \[True"),
        ({"size": [4, 5], "counts": None}, "counts None"),
        ({"size": [4, 5], "counts": ""}, "add up to 0"),
        ({"size": [4, 5], "counts": "!"}, "counts '!'; allowed: .*compressed text"),
        ({"size": [4, 5], "counts": "ü"}, "counts 'ü'"),
        ({"size": [4, 5], "counts": "4`"}, "cut off"),
        ({"size": [4, 5], "counts": "o" * 99}, "counts 'ooo.*compressed"),
        ({"size": [4, 5], "counts": "O"}, r"counts \[-1\]"),
    ],
)
def test_a_bad_region_is_refused(segmentation, told):
    with pytest.raises(Bad, match=told):
        region(segmentation, 4, 5)


def thing(image, category, segmentation, **more):
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **more}


COCO = {
    "images": [
        {"id": 10, "file_name": "a.jpg", "height": 6, "width": 8},
        {"id": "b", "file_name": "b.jpg", "height": 6, "width": 8},
        {"id": 30, "file_name": "c.jpg", "height": 6, "width": 8},
    ],
    "categories": [
        {"id": 90, "name": "cat"},
        {"id": 7, "name": " dog "},
        {"id": 8, "name": "never"},
    ],
    "annotations": [
        thing(10, 7, [box(1, 1, 3, 3)]),
        thing(10, 90, [box(0, 0, 8, 5)]),  # larger: it comes below
        thing("b", 90, [box(0, 0, 2, 2)]),
        thing("b", 7, [box(1, 0, 3, 2)]),  # as large, later: above
        thing("b", 7, {"size": [6, 8], "counts": [30, 18]}, iscrowd=1),
        thing("b", 90, [box(6, 3, 8, 6)], iscrowd=0),
    ],
}
IMAGES = {f"{name}.jpg": picture(i, (6, 8)) for i, name in enumerate("abc")}


def coco(**changes):
    return json.dumps(copy.deepcopy(COCO) | changes).encode()


def changed(part, i, **values):
    """COCO with some values of an entry changed, those of None removed."""
    data = copy.deepcopy(COCO)
    data[part][i] |= values
    data[part][i] = {key: value for key, value in data[part][i].items() if value is not None}
    return json.dumps(data).encode()


@pytest.fixture
def opened(tmp_path):
    def open_source(files, packing="folder"):
        path = write(tmp_path / ("raw" if packing == "folder" else f"raw.{packing}"), files)
        return SOURCES["coco_masks"].open_source(str(path))

    return open_source


def masks(source):
    read = pickle.loads(pickle.dumps(source.mask))
    return {name: read(key) for name, key in zip(source.table["source"], source.keys, strict=True)}


def found(source):
    return sorted((f.what, f.where) for f in source.findings)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("layout", ["{}", "images/{}", "set/photos/{}"])
def test_objects_are_painted_and_classes_follow_the_ids(opened, packing, layout):
    files = {layout.format(name): content for name, content in IMAGES.items()}
    source = opened({"instances.json": coco()} | files, packing)
    names = [layout.format(f"{name}.jpg") for name in "abc"]
    assert list(source.table["source"]) == names
    assert source.classes == ("background", "dog", "cat")  # ids 7 and 90
    assert list(source.table["label"]) == ["cat", "cat", "background"]
    assert set(source.table["split"]) == {""}
    assert found(source) == [("class without objects", "never")]
    read = pickle.loads(pickle.dumps(source.read)) if source.parallel else source.read
    assert read(source.keys) == list(IMAGES.values())
    first, second = np.zeros((2, 6, 8), np.uint8)
    first[:5] = 2
    first[1:3, 1:3] = 1
    second[:, 5:] = VOID  # 30 pixels are five columns
    second[:2, :2] = 2
    second[:2, 1:3] = 1
    second[3:, 6:] = 2
    for name, expected in zip(names, (first, second, np.zeros((6, 8))), strict=True):
        mask = masks(source)[name]
        assert mask.dtype == np.uint8 and mask.flags.writeable
        np.testing.assert_array_equal(mask, expected)


def test_the_label_is_the_class_of_most_pixels_that_are_seen(opened):
    things = [thing(10, 90, [box(0, 0, 8, 6)]), *(thing(10, 7, [box(0, 0, 8, 3)]),) * 2]
    things += [thing(10, 7, [box(0, 3, 8, 4)]), thing("b", 90, [box(0, 0, 1, 1)])]
    source = opened({"x.json": coco(annotations=things)} | IMAGES)
    assert list(source.table["label"]) == ["dog", "cat", "background"]


def test_a_category_called_background_is_the_background(opened):
    categories = [{"id": 90, "name": "_background_"}, {"id": 7, "name": "dog"}]
    source = opened({"x.json": coco(categories=categories)} | IMAGES)
    assert source.classes == ("background", "dog")
    assert masks(source)["a.jpg"].sum() == 4


def in_part(part):
    return {f"{part}/{name}": content for name, content in IMAGES.items()}


def test_parts_keep_their_meaning(opened):
    exported = {}
    for part in ("train", "valid", "test"):  # as some programs export it
        exported |= in_part(part) | {f"{part}/_annotations.coco.json": coco()}
    source = opened({f"my set/{name}": content for name, content in exported.items()})
    assert list(source.table["split"]) == ["test"] * 3 + ["train"] * 6
    assert found(source) == [
        ("class without objects", "never"),
        ("validation part", "valid"),
    ]


def test_coco_s_own_folders_are_read(opened):
    files = {"annotations/captions_train2017.json": b"{}"}
    for part, names in (("train2017", "ab"), ("val2017", "c"), ("test2017", "d")):
        files |= {f"{part}/{name}.jpg": picture(ord(name), (6, 8)) for name in names}
        images = [
            {"id": i, "file_name": f"{name}.jpg", "height": 6, "width": 8}
            for i, name in enumerate(names)
        ]
        things = [thing(0, 90, [box(0, 0, 3, 3)])]
        content = coco(images=images, annotations=things)
        files[f"annotations/instances_{part}.json"] = content
    source = opened(files)
    assert list(source.table["source"]) == [
        "test2017/d.jpg",
        "train2017/a.jpg",
        "train2017/b.jpg",
        "val2017/c.jpg",
    ]
    assert list(source.table["split"]) == ["test", "train", "train", "train"]
    assert list(source.table["label"]) == ["cat", "cat", "background", "cat"]
    assert ("not an image by its bytes", "annotations/captions_train2017.json") in found(source)


def test_what_does_not_belong_is_left_out_and_listed(opened):
    data = copy.deepcopy(COCO)
    data["images"] += [
        {"id": 40 + i, "file_name": name, "height": 6, "width": 8}
        for i, name in enumerate(["gone.jpg", "../../etc/passwd", "/a.jpg", "size.jpg", "v.jpg"])
    ]
    data["annotations"] += [
        thing(10, 7, []),
        thing(10, 7, [box(20, 20, 30, 30)]),
        thing(43, 8, [box(0, 0, 2, 2)]),
        thing(44, 7, [box(0, 0, 8, 6)], iscrowd=1),
    ]
    extra = {"size.jpg": picture(size=(6, 7)), "v.jpg": picture(9, (6, 8)), "un.jpg": picture()}
    extra |= {"notes.txt": b"x", ".hidden.json": b"x"}
    source = opened({"x.json": json.dumps(data).encode()} | IMAGES | extra)
    assert list(source.table["source"]) == list(IMAGES)
    assert found(source) == sorted(
        [
            ("class without objects", "never"),
            ("file that no JSON names", "un.jpg"),
            ("hidden file", ".hidden.json"),
            ("image of another size than its JSON says", "size.jpg"),
            ("image that is not there, which a JSON names", "../../etc/passwd"),
            ("image that is not there, which a JSON names", "/a.jpg"),
            ("image that is not there, which a JSON names", "gone.jpg"),
            ("image that is void everywhere", "v.jpg"),
            ("not an image by its bytes", "notes.txt"),
            ("object that covers no pixel", "a.jpg"),
            ("object that covers no pixel", "a.jpg"),
        ]
    )
    assert "7x6, by the JSON 8x6" in {f.detail for f in source.findings}


def test_a_path_of_windows_is_a_path(opened):
    content = changed("images", 0, file_name=".\\photos\\a.jpg")
    files = {f"photos/{name}": picture for name, picture in IMAGES.items()}
    assert len(opened({"x.json": content} | files).table) == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON that can be read"),
        (b"\xff\xfe\x00", "not JSON that can be read"),
        (b"[" * 100_000, "not JSON that can be read"),
        (b"[]", "holds a list; expected a JSON as COCO's"),
        (b"{}", "the JSON has no 'images'"),
        (coco(images={}), r"the JSON has images = \{\}; allowed: a list"),
        (coco(categories=[1]), r"categories\[0\] is 1; allowed: an object"),
        (changed("images", 1, id=None), r"images\[1\] has no 'id'; it has \['file_name', 'height'"),
        (changed("images", 1, id=10), r"images\[1\] has id = 10, as another"),
        (changed("images", 1, id=[1]), r"images\[1\] has id = \[1\]"),
        (changed("images", 1, id=True), r"images\[1\] has id = True"),
        (changed("images", 1, file_name=None), r"images\[1\] has no 'file_name'"),
        (changed("images", 1, file_name=3), r"images\[1\] has file_name = 3; allowed: the path"),
        (changed("images", 1, file_name="a.jpg"), r"file_name = 'a.jpg', which is listed twice"),
        (changed("images", 1, width=None), r"images\[1\] has no 'width'"),
        (changed("images", 1, height=0), r"images\[1\] has height = 0; allowed: a whole number"),
        (changed("images", 1, height=6.0), r"height = 6.0"),
        (changed("images", 1, height=10**9), r"8x1000000000; allowed: .*at most 100 million"),
        (changed("categories", 0, id=None), r"categories\[0\] has no 'id'"),
        (changed("categories", 0, id="90"), r"categories\[0\] has id = '90'; allowed: a whole"),
        (changed("categories", 0, id=7), r"categories\[1\] is 'dog', 7; allowed: each"),
        (changed("categories", 0, name="dog"), r"categories\[1\] is 'dog', 7; allowed: each"),
        (changed("categories", 0, name=" "), r"categories\[0\] has name = ' '; allowed: a name"),
        (changed("annotations", 2, image_id=None), r"annotations\[2\] has no 'image_id'"),
        (changed("annotations", 2, image_id=99), r"image_id = 99; allowed: the id of an image"),
        (changed("annotations", 2, image_id={}), r"image_id = \{\}"),
        (changed("annotations", 2, category_id=None), r"annotations\[2\] has no 'category_id'"),
        (changed("annotations", 2, category_id=1), r"category_id = 1; allowed: one of \[7, 8,"),
        (changed("annotations", 2, segmentation=None), r"annotations\[2\] has no 'segmentation'"),
        (changed("annotations", 2, iscrowd=2), r"annotations\[2\] has iscrowd = 2; allowed: 0 or"),
        (changed("annotations", 2, segmentation=[[1]]), r"annotations\[2\] has the polygon \[1\]"),
        (changed("annotations", 2, segmentation={"size": [8, 6], "counts": [48]}),
         r"annotations\[2\] has the size \[8, 6\]; allowed: \[6, 8\]"),
    ],
)  # fmt: skip
def test_a_bad_json_is_refused_by_name(opened, content, told):
    with pytest.raises(UserError, match=rf"data\.raw = .*raw.*: x\.json: .*{told}"):
        opened({"x.json": content} | IMAGES)


MANY = [{"id": i, "name": f"c{i}"} for i in range(300)]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (IMAGES, "no .json found; expected a JSON as COCO's"),
        ({"x.json": coco()}, "no images that a JSON names.*left out: 3, the first is image that"),
        ({"x.json": coco(annotations=[])} | IMAGES, "objects of 0 categories; allowed: 1 to 254"),
        (
            {"x.json": coco(categories=MANY, annotations=[thing(10, i, []) for i in range(255)])}
            | IMAGES,
            "objects of 255 categories",
        ),
        ({"a/x.json": coco()} | in_part("b") | in_part("c"), "'a.jpg' may be 'b/a.jpg' or"),
        ({"x.json": coco(), "y.json": coco()} | IMAGES, "y.json: images.0. .* listed twice"),
        (
            in_part("a") | in_part("b") | {"a/x.json": coco(), "b/x.json": coco(
                categories=[*COCO["categories"][:1], {"id": 7, "name": "cow"}])},
            "b/x.json: categories.1. is 'cow', in another JSON 'dog', both 7",
        ),
    ],
)  # fmt: skip
def test_a_place_that_cannot_serve_is_refused(opened, files, told):
    with pytest.raises(UserError, match=told):
        opened(files)


def test_the_size_by_the_json_is_that_of_the_upright_image(opened):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    stands = stored(lying, ending="jpeg", exif=exif)  # 6 high, 8 wide as it is seen
    assert len(opened({"x.json": coco()} | IMAGES | {"a.jpg": stands}).table) == 3
    content = stored(lying.transpose(1, 0, 2).copy(), ending="jpeg", exif=exif)
    source = opened({"x.json": coco()} | IMAGES | {"a.jpg": content})
    (said,) = [f for f in source.findings if f.where == "a.jpg"]
    assert said.detail == "6x8, by the JSON 8x6, upright as its EXIF says"


def test_an_archive_that_leads_out_is_refused(opened):
    with pytest.raises(UserError, match="leads out of it"):
        opened({"x.json": coco(), "../a.jpg": picture()} | IMAGES, "tar")
