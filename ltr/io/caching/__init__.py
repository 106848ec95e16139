"""What is computed once and kept in the user's cache; where that is (``cache_folder``), and hashes as keys (``digests``)."""
