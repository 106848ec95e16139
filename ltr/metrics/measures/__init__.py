"""What is measured: names, definitions, values per query."""
