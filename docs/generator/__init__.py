"""Builds the documentation site: stages the Markdown pages, generates the reference from the code, runs Sphinx."""
