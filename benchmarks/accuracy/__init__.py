"""Accuracy and its cost: every contender forecasts the same origins from the same tables."""
