"""The report page of a benchmark or a comparison."""
