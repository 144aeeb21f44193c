"""A small multi-tenant assistant."""
