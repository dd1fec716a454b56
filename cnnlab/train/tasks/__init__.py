"""What networks learn to say of an image, a module a task: all that training needs to know of it.

A module defines

- `LOSS`: the name, among `scores`, of the mean loss of held-out images, by which early stopping
  chooses;
- `network(recipe, shape, classes) -> cnnlab.recipe.network.Network`;
- `targets(data) -> array`: the truth as it is kept, (pool, ...), class numbers in it;
- `spec(shape) -> tf.TensorSpec`: of some rows of that, for inputs of a shape;
- `seen(data, train) -> int (m,)`: the class numbers in the targets of these rows, which weigh in
  the loss;
- `moved`: None, or `moved(targets, matrix) -> targets`: what a warp of the images (see
  `cnnlab.recipe.techniques`; None: there is none) makes of their targets;
- `truth(recipe, targets, weights) -> y, w`: what a step learns from, of such targets and the
  weights of the classes in the loss, float32 (classes,), and the weight of each label in it; of
  labels one-hot and smoothed, (n, ..., classes) and (n, ...);
- `losses(y, logits) -> float32 (n,) or (n, ...)`: of each image, or of each label of it, where the
  recipe has no loss of its own;
- `mean(weights, losses) -> scalar`: of a batch, from the weight of each label and the losses;
- `outputs(logits, targets) -> float32 (n, ...)`: what a trial keeps of what the network says;
- `scores(labels, outputs) -> {name: value}`: what is measured while it trains. `labels`: the class
  number of each image, by which folds are stratified.
"""

from cnnlab.plugins import Registry

LEARNING = Registry(__name__, needs="outputs")
