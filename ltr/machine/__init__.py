"""What a process may use of its machine: processors, threads that share them, and memory that it freed.

How much of a GPU's memory a batch may take is decided in ``ltr.scorers.text.memory_budget``.
"""
