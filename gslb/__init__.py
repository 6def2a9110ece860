"""gslb: the global load balancer health controller for geo-replicated registries."""

__version__ = "0.1.0"
