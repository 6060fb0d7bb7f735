"""What clients and service agree on, apart from single endpoints: shared models, and errors."""
