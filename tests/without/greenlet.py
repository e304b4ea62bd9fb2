"""Stands before the greenlet that the tests' browser brings, which SQLAlchemy would load: the product has none."""

raise ImportError("the product runs without greenlet")
