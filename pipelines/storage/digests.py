"""SQL expressions for digests, which are compared to find what changed."""


def digest(*columns: str) -> str:
    """Return the expression for a digest of one row."""
    return f"(hash({', '.join(columns)}) >> 1)::BIGINT"


def digest_rows(*columns: str) -> str:
    """Return the expression for a digest of a group of rows in any order."""
    return digest("count(*)", f"sum(hash({', '.join(columns)})::HUGEINT)")
