"""Declarations: tables with their columns, and the streams of the API that fill them."""
