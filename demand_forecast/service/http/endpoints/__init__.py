"""One module an endpoint, found by being here; the module's name is its path below /v1."""
