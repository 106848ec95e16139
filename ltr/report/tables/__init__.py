"""Tables as text, Markdown, LaTeX, CSV and JSON (``table``): what stands in the columns of runs (``evaluations``), of
benchmarks (``benchmarks``), and of comparisons in both (``contrasts``)."""
