"""Campaigns: many random inputs, kills and places, small by default and sized by an environment variable. All are marked slow."""
