"""What the scripts of benchmarks/speed share."""
