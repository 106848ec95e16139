"""A measure: what a visitor buys who looks at books from the top and stops at the first that is worth it."""


def first_sale(grades, ranks):
    """The grade of the first relevant book, less a tenth for each one that stands above it."""
    seen = [(rank, grade) for grade, rank in zip(grades, ranks, strict=True) if grade > 0 and rank < float("inf")]
    if not seen:
        return 0.0
    rank, grade = min(seen)
    return grade - 0.1 * (rank - 1)
