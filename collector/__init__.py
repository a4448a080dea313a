"""Collects what other gateways publish of their requests, without losing an event that reached it."""
