"""From texts to token ids: templates, passages, the token cache, encoders."""
