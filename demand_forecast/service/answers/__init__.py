"""Answers that are computed on request, from a served package; nothing of HTTP."""
