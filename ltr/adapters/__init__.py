"""Rankers and tools of other packages behind the interfaces of ltr, one file for each package."""
