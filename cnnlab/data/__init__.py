"""Images in: sources, the prepared pools with their manifests, and folds."""
