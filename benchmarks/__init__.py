"""Side-by-side measurements: us and the field's tools on the same data, each in a process of its own."""
