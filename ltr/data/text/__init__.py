"""TextData and what its parts are built from."""
