"""Benchmarks of losses: data sets x scorers x losses x seeds, tuned alike, compared with statistics."""
