"""report: marts, checks and examples from `sql/`, built from landed tables only."""
