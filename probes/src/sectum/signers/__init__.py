"""Signers, one kind a file; `catalog` finds them."""
