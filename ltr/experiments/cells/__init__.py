"""One cell of a benchmark, and how cells are run and kept."""
