"""The ways to a gateway: its management API, its queue by RESP and HTTP, and the sessions over them."""
