"""The generated pages, one file for each table that they are made of."""
