"""Manifest keys, one kind a file; `catalog` finds them."""
