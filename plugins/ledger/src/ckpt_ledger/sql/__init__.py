"""SQL: the tables of the record of runs, and all that is said to them."""
