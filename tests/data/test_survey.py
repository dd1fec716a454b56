"""What a folder holds, and which task it is laid out for."""

import io
import json

import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy import ndimage

from cnnlab import params, proposal
from cnnlab.data import survey
from cnnlab.errors import UserError
from tests.data.test_mask_folder import write
from tests.layouts import LAYOUTS, class_folders, coco, mask_folder, scenes


def looked_at(path, files, task=None):
    return survey.survey(write(path, files), task)


@pytest.mark.parametrize("packing", ["", ".zip"])
@pytest.mark.parametrize("source", LAYOUTS)
def test_a_layout_is_known_without_being_told(tmp_path, source, packing):
    task, make = LAYOUTS[source]
    found = looked_at(tmp_path / f"raw{packing}", make(scenes()))
    assert (found.task, found.source) == (task, source)
    assert found.sides.tolist() == [40] * 30 and found.colour
    assert len(found.usable) == 30 and set(found.usable["label"]) >= {"cat", "dog", "owl"}
    assert f"for {task}, as {source} reads it" in survey.lines(found)


def test_objects_are_counted(tmp_path):
    said = "\n".join(survey.lines(looked_at(tmp_path / "raw", LAYOUTS["voc"][1](scenes()))))
    # Of 29 images: 10 + 9, 10 + 10 and 9 + 10 of each class, 24x28 and 8x11 pixels of 40x60.
    assert "30 images with 58 objects in 3 classes: cat 19, dog 20, owl 19" in said
    assert "half of the objects are at least 40% of their image's side" in said
    assert "images without an object: 1; at most 2 on one" in said
    assert "uneven" not in said and "TASK" not in said


def test_regions_that_the_test_ignores_are_no_objects(tmp_path):
    """Difficult objects of VOC, which are learnt, and crowds of COCO, which are not."""
    difficult = LAYOUTS["voc"][1](scenes())
    name = "Annotations/s00.xml"
    difficult[name] = difficult[name].replace(b"<difficult>0", b"<difficult>1")
    said = survey.lines(looked_at(tmp_path / "voc", difficult))
    assert "30 images with 58 objects in 3 classes: cat 19, dog 20, owl 19" in said
    crowded = LAYOUTS["coco_boxes"][1](scenes())
    content = json.loads(crowded["instances.json"])
    for annotation in content["annotations"][:2]:  # all of the first image
        annotation["iscrowd"] = 1
    crowded["instances.json"] = json.dumps(content).encode()
    said = survey.lines(looked_at(tmp_path / "coco", crowded))
    assert "30 images with 56 objects in 3 classes: cat 18, dog 19, owl 19" in said
    assert "images without an object: 2; at most 2 on one" in said


def test_pixels_are_counted(tmp_path, monkeypatch):
    said = survey.lines(looked_at(tmp_path / "raw", mask_folder(scenes())))
    large, small, all_ = 24 * 28, 8 * 11, 30 * 40 * 60
    shares = [(10 * large + 9 * small) / all_, (10 * large + 10 * small) / all_]
    shares.append((9 * large + 10 * small) / all_)
    each = [f"{n} {s:.1%}" for n, s in zip(("cat", "dog", "owl"), shares, strict=True)]
    line = f"30 images with masks of 4 classes; pixels: background {1 - sum(shares):.1%}, "
    assert line + ", ".join(each) in said
    assert "images of background alone: 1" in said
    largest = "class that is the largest on few images (1) stratified as cat: background"
    assert largest in said  # as one image is no stratum


def test_polygons_say_more_than_boxes_unless_one_is_missing(tmp_path):
    both = coco(scenes())
    found = looked_at(tmp_path / "both", both)
    assert (found.task, found.others) == ("segmentation", ("detection",))
    assert "TASK=detection takes it for detection instead" in survey.lines(found)
    asked = survey.survey(tmp_path / "both", "detection")
    assert (asked.task, asked.source, asked.others) == ("detection", "coco_boxes", ())
    content = json.loads(both["instances.json"])
    content["annotations"][3]["segmentation"] = []
    found = looked_at(tmp_path / "some", both | {"instances.json": json.dumps(content).encode()})
    assert (found.task, found.source, found.others) == ("detection", "coco_boxes", ())


def test_folders_of_classes_stay_what_they_are(tmp_path):
    files = class_folders(scenes()) | {"about.json": b'{"licence": "CC0"}', "cat/labels.txt": b"?"}
    found = looked_at(tmp_path / "raw", files)
    assert (found.task, found.source, found.others) == ("classification", "image_folder", ())
    asked = survey.survey(tmp_path / "raw", "classification")
    assert asked.table.equals(found.table)


def saved(kind, seed, **options):
    """A file of noise, 96 pixels a side."""
    file, noise = io.BytesIO(), np.random.default_rng(seed).integers(0, 256, (96, 96, 3), np.uint8)
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def with_small_picture(seed):
    """A JPEG whose header holds a whole smaller one, as a camera's does."""
    about, small = Image.Exif(), saved("JPEG", seed, quality=5)
    about[ExifTags.Base.MakerNote] = small
    content = saved("JPEG", seed, exif=about)
    assert content.count(b"\xff\xd9") == 2
    return content


@pytest.mark.parametrize(
    "whole",
    [
        saved("JPEG", 1),
        saved("JPEG", 1, quality=100) + bytes(100_000),
        with_small_picture(1),
        saved("JPEG", 1) + bytes(30_000),  # as cameras write behind it
        saved("PNG", 1),
    ],
    ids=["jpeg", "behind", "small picture", "behind, small", "png"],
)
@pytest.mark.parametrize("decoded", [0, 1000])
def test_a_file_that_was_cut_off_is_named(tmp_path, monkeypatch, whole, decoded):
    monkeypatch.setattr(survey, "DECODED", decoded)
    half = whole.rstrip(b"\0")[:-900]
    files = class_folders(scenes()) | {"cat/whole": whole, "cat/half": half, "dog/half": half}
    found = looked_at(tmp_path / "raw", files)
    assert set(files) - set(found.usable["source"]) == {"cat/half", "dog/half"}
    (line,) = survey.suspicious(found)
    assert line.startswith("cannot be read, left out (2): cat/half (") and "truncated" in line


def burst(seed, shots=5):
    """Photographs of one scene: noise on blobs, a little brighter each time."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(0, 1, (96, 96, 3)), (4, 4, 0))
    blobs = 100 + 40 * blobs / blobs.std()
    for shot in range(shots):
        file, noise = io.BytesIO(), rng.normal(0, 1, blobs.shape)
        pixels = (blobs + noise + shot).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        yield file.getvalue()


def test_bursts_are_groups_and_make_fewer_folds(tmp_path):
    files = {
        f"{name}/{scene}_{shot}.jpg": content
        for number, name in enumerate(("cat", "dog"))
        for scene in range(4)
        for shot, content in enumerate(burst(10 * number + scene))
    }
    found = looked_at(tmp_path / "raw", files)
    assert found.usable.groupby("label")["scene"].nunique().tolist() == [4, 4]
    (line,) = survey.suspicious(found)
    assert line.startswith("nearly the same (32): cat/0_1")
    plan = proposal.plan_for(found)
    assert plan.keeps_scenes and plan.k == 3  # a scene of each class is left for the test
    *_, another = burst(0, shots=7)
    mixed = files | {"dog/of_a_cat.jpg": another, "dog/again.jpg": files["cat/1_0.jpg"]}
    said = survey.suspicious(looked_at(tmp_path / "mixed", mixed))
    assert "nearly the same in two classes, of which one may be wrong (1): " in said[1]
    assert "dog/of_a_cat.jpg" in said[1] and "the same file in two classes" in said[0]


def test_images_that_all_look_alike_are_not_kept_together(tmp_path):
    """As of parts on a belt: else there would be nothing to hold out."""
    files = {f"ok/{i}.jpg": c for i, c in enumerate(burst(1, 12))}
    files |= {f"bad/{i}.jpg": c for i, c in enumerate(burst(2, 12))}
    found = looked_at(tmp_path / "raw", files)
    assert found.usable["scene"].nunique() == 2
    plan = proposal.plan_for(found)
    assert not plan.keeps_scenes and plan.k == 5
    whole = params.of_text(proposal.written("belt", plan, found, "/somewhere"))
    assert whole.data.near_duplicates is None
    assert proposal.lines(plan)[-1].startswith("images look so alike")


def test_of_many_images_the_pixels_are_not_all_looked_at(tmp_path, monkeypatch):
    files = {f"{name}/{i}.jpg": c for name in "ab" for i, c in enumerate(burst(ord(name), 30))}
    seen, decode = [], survey.images.decode
    monkeypatch.setattr(survey.images, "decode", lambda *of: seen.append(0) or decode(*of))
    monkeypatch.setattr(survey, "DECODED", 59)
    found = looked_at(tmp_path / "raw", files)
    assert (found.table["twin"] == "").all() and found.table["scene"].is_unique
    assert len(seen) <= survey.SAMPLED


def test_a_class_that_the_test_part_has_not_is_named(tmp_path):
    files = class_folders(scenes())
    split = {
        f"{'test' if i % 4 == 0 else 'train'}/{n}": c for i, (n, c) in enumerate(files.items())
    }
    gone = {name: c for name, c in split.items() if not name.startswith("test/owl/")}
    assert not survey.suspicious(looked_at(tmp_path / "all", split))
    (line,) = survey.suspicious(looked_at(tmp_path / "raw", gone))
    assert line == "classes without an image to test on (1): owl"


def test_a_table_beside_a_folder_of_all_images_is_found(tmp_path):
    files = class_folders(scenes())
    flat = {f"images/{name.replace('/', '_')}": content for name, content in files.items()}
    rows = ["path,label", *(f"{name},{name[7:10]}" for name in flat)]
    found = looked_at(tmp_path / "raw", flat | {"labels.csv": "\n".join(rows).encode()})
    assert (found.source, found.classes) == ("image_table", ["cat", "dog", "owl"])
    rows[0] = "file,label"
    with pytest.raises(UserError, match="missing: path"):
        looked_at(tmp_path / "raw", flat | {"labels.csv": "\n".join(rows).encode()})


@pytest.mark.parametrize(
    ("task", "files", "said"),
    [
        ("detection", class_folders(scenes()), "no images with boxes, as task: detection needs; "),
        ("segmentation", LAYOUTS["yolo"][1](scenes()), "what coco_masks, mask_folder read, see do"),
        (None, LAYOUTS["yolo"][1](scenes()) | {"labels/s00.txt": b"0 1"}, "labels/s00.txt: line 1"),
    ],
)
def test_what_does_not_serve_the_task_is_one_line(tmp_path, task, files, said):
    with pytest.raises(UserError) as error:
        looked_at(tmp_path / "raw", files, task)
    text = str(error.value)
    assert said in text and "\n" not in text and text.startswith("images ")
    assert "params.yaml" not in text


@pytest.mark.parametrize(
    ("name", "said"), [("x" * 300, "File name too long"), ("a\0b", "null"), ("cat", "directory")]
)
def test_a_table_may_name_what_can_be_no_file(tmp_path, name, said):
    files = class_folders(scenes())
    rows = ["path,label", *(f"{file},{file.split('/')[0]}" for file in files), f"{name},cat"]
    write(tmp_path / "raw", files | {"table.csv": "\n".join(rows).encode()})
    (line,) = survey.suspicious(survey.survey(tmp_path / "raw/table.csv"))
    assert line.startswith("cannot be read, left out (1): ") and said in line


def test_more_objects_than_a_study_takes_are_said(tmp_path):
    many = {"s00": [("cat", 0, 0, 20, 20)] * 65, "s01": [("dog", 0, 0, 20, 20)]}
    found = looked_at(tmp_path / "raw", LAYOUTS["voc"][1](many))
    with pytest.raises(UserError, match=r"s00\.png: has 65 objects; allowed: 64 an image"):
        survey.truth(found, 32, "squash", 2)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("yolo", "none of 20 images outside of a test part has an object; allowed: at least one"),
        ("mask_folder", "none of 20 images outside of a test part has pixels of a class besides"),
    ],
)
def test_nothing_to_learn_from_is_refused(tmp_path, source, said):
    """A test part alone has what is looked for."""
    of = {
        name.replace("s", "test/s" if int(name[1:]) < 10 else "train/s"): objects
        for name, objects in ((n, o if int(n[1:]) < 10 else []) for n, o in scenes().items())
    }
    files = LAYOUTS[source][1](of)
    with pytest.raises(UserError, match=said):
        looked_at(tmp_path / "raw", files)
    files = LAYOUTS[source][1](of | {"train/s20": [("cat", 0, 0, 20, 20)]})
    assert looked_at(tmp_path / "some", files).own_test
