"""What differences mean: paired tests, intervals, several seeds."""
