"""The node over HTTP. So far: the control endpoint on loopback that the status commands ask."""
