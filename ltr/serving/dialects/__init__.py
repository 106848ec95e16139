"""Wire formats: a file for each, which turns bodies into requests, and results and errors into bodies; ``choice`` tells them
apart. What can go wrong is listed in ``ltr.serving.problems``."""
