"""Text taken apart many lines at a time, by NumPy on its bytes."""
