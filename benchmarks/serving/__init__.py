"""Our service beside services that do nothing: requests a second, latency, memory, and swaps of packages under load."""
