"""All network access goes through `client.Network`."""
