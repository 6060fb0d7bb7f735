"""What a night costs against the first full run, and against a history twice as long."""
