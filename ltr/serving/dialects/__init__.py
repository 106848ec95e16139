"""Wire formats: a file for each, which turns bodies into requests and results into bodies."""
