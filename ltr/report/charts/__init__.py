"""Everything that is drawn: results (``charts``), ``links_and_losses``, ``reliability``; colours and files in ``style``."""
