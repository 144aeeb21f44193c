"""Texts that stand for a real tenant's: the demo stack shows them where systems let slip what is nobody's business.

They are those of `earlier.customer` in examples/kind, which the stack puts into ids, errors, tools and redirects. They
belong to the system under test; nothing that Sectum writes may hold them.
"""

CUSTOMER = "northwind-harbour-7731"
"""Given to the stack as `--set earlier.customer=…`."""

SOWN = {
    "customer, as in ids, errors, a tool's name and a redirect": CUSTOMER,
}
