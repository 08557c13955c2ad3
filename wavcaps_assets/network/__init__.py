"""The one way to the network: `client.Network`."""
