"""From finished cells to tables and pages."""
