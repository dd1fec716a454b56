"""From a recipe and images to records: recipes, trials, the one `fit`, and what a trial leaves."""
