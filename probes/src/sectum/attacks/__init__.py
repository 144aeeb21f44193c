"""Attack classes, one a file; `catalog` finds them."""
