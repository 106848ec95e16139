"""Commands that show what there is to know: guides, losses, pictures, versions."""
