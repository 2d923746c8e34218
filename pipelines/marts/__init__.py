"""Finds, orders, builds and checks the queries of `sql/`."""
