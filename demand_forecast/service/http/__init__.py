"""From a request to an answer: the gateway, the endpoints, their description, the pages."""
