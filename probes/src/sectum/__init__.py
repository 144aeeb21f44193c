"""Sectum: finds out whether a multi-tenant AI system keeps its tenants apart, and proves it."""
