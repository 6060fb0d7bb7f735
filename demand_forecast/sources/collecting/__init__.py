"""What of the sources the lake does not hold yet, found and brought into the layout of its raw tables."""
