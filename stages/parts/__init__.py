"""What stages do that only one kind of task needs: a folder a stage, in it a file a task."""
