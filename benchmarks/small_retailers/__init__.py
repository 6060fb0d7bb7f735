"""First runs of small retailers that differ in calendar, length of history and kinds of demand."""
