"""Files and names: safe writing, TREC runs and judgements, nearest known names."""
