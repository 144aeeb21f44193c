"""Surface adapters, one a file; `catalog` finds them."""
