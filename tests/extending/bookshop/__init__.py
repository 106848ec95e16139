"""What somebody builds on ltr, outside it: a link, losses, scorers, a data module and a measure of their own.

Only public names are used; the guide `extending` shows this code.
"""
