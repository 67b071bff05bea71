"""Alembic's scripts. A change of `tables.py` needs a new file in `versions/` and a new `schema.REVISION`."""
