"""The service over HTTP: addresses, pages, the process."""
