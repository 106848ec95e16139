"""Documents described by numbers: tables, SVMlight files, normalisation, their data modules."""
