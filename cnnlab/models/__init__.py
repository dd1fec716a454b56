"""Nets: one file each, sized by params.yaml under `model`.

A file defines

- `Options`: its size;
- `places(options) -> tuple`: where techniques can put layers, of those that
  `cnnlab.training.recipe.Insert` names; a technique that needs another is refused;
- `build(recipe, shape, classes) -> keras.Model`: a net that takes images of `shape` (height, width,
  channels) in 0..255 and returns logits (n, classes). Layers are named; those of the conv part,
  which transfer hands on, have names starting with "conv" or "pool".

The building blocks that techniques hook into are in `cnnlab/training/blocks.py`.
"""
