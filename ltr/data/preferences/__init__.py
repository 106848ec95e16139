"""Prompts with responses of which some are preferred: files, their forms, chat templates, and the data module."""
