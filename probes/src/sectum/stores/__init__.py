"""Object stores, one kind a file; `catalog` finds them."""
