"""What a benchmark compares: the spec, its checks, its search spaces, the plan."""
