"""Texts that stand for a real tenant's: the demo stack shows them where systems let slip what is nobody's business.

They belong to the system under test, which is started with `--set slips.customer=CUSTOMER`; nothing that Sectum writes
may hold them. Where the stack puts them stands in examples/quickstart/stack/README.md, under Slips.
"""

CUSTOMER = "northwind-harbour-7731"

SOWN = {"customer, in ids, errors, redirects, tools and a document": CUSTOMER}
"""What the hunt looks for, by what reports call it."""
