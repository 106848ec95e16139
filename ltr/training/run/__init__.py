"""The run folder of a training: what it keeps, which weights are best, and how an interrupted training goes on.

``run_folder`` does it, with a file for each of its parts: ``records`` writes manifest and metrics, ``saved_models`` models
with their cards; ``monitor`` and ``early_stopping`` (``patience``) say what is best and when to end, ``averaging`` tries the
mean of the best; ``interruption`` catches signals, ``resuming`` checks what goes on, ``inputs`` that no output replaces an
input; ``results`` measures.
"""
