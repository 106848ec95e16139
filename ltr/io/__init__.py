"""Files and names: safe writing (``files``), TREC runs and judgements (``trec``; ``runs``: order and ties), nearest known
``names``, the user's cache (``caching``). What a model folder says of itself, ``ltr.json``, is in ``ltr.settings``."""
