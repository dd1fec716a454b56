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
- `mean(weights, losses) -> scalar`: of a batch, from the weight of each label and the losses;
- `outputs(logits, targets) -> float32 (n, ...)`: what a trial keeps of what the network says;
- `scores(labels, outputs) -> {name: value}`: what is measured while it trains. `labels`: the class
  number of each image, by which folds are stratified.
"""

from cnnlab.plugins import Registry

LEARNING = Registry(__name__, needs="outputs")
