"""The kinds of sources: a folder each, found by being here."""
