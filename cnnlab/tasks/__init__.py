"""Tasks: what networks of a study answer, and how the answers are measured; one file each.

A task's `outputs` are what a trial keeps of each held-out image, float32 (n, columns); what the
columns hold is said by the task's file. `labels` are int (n,), 0 .. classes - 1: the class by which
images are stratified, which is the answer asked for where whole images are classified. A file,
NumPy alone, defines

- `METRICS`: name -> `cnnlab.metric.Metric`, the table's order. No two tasks share a name;
- `MEASURED`: the two metrics that a trial measures while it trains, the score and then the loss:
  name -> what tables call it;
- `AVERAGED`: whether what several networks say of one image may be averaged to what their ensemble
  says: probabilities may, of an image or of each pixel (see `MAPS`), boxes may not;
- `QUESTIONS`: metrics by which the report asks whether probabilities are right; none without such;
- `PREDICTS`: the module whose `answer` does what `python -m cnnlab.predict` is asked for; None:
  that itself, with the class of each image;
- `BY_CLASS`: a table in reports/compare that says how well each class is found, and what it holds,
  in words; None: classes gain and lose images by technique;
- `PREDICTED`: what the report says above the pictures of predictions; "": there are none;
- `INSTEAD`: of the quantities that techniques claim to move (`cnnlab.compare.mechanisms`), those
  that the task measures otherwise -> what it has in their place, or None;
- `MAPS`: whether a network answers for each pixel, with logits (n, height, width, classes), and
  not for each image, with logits (n, classes). An ensemble's networks are then asked together, as
  outputs do not hold the maps that it averages;
- `LOGITS`: what a network's logits hold, in words, where they are no classes alone, whose softmax
  are probabilities: boxes are made of them (see `cnnlab.served`); "": they are;
- `MERGES`: whether classes may be chosen and merged by their names (`data.classes`);
- `FEATURES`: whether a network answers from features of the whole image, (n, units), which may be
  stored, and pass through hidden dense layers;
- `places(of_net) -> tuple`: where techniques can put layers in a network of the task, of those
  that its body has (see `cnnlab.recipe.nets`).

What params allow follows from these, see `cnnlab.consistency`, which knows no task by name.

A metric gives each image a value, of which it is the mean. For one that is no mean over images the
values are the influence of each (`cnnlab.metric.influence`). Where it is not shown how well
intervals made from these are calibrated (`make validate` shows it of macro F1 and the Matthews
correlation), they are called approximate. Adding a metric is one entry in `METRICS` and its rope in
cnnlab/defaults.yaml.
"""

from cnnlab.plugins import Registry

TASKS = Registry(__name__, needs="METRICS")
