"""One thing that must hold of a pack -> a line that says so: the steps of `verify`, by what they look at."""
