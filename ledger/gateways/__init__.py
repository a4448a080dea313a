"""Gateways that are collected from: how it stands with them, when events may be missing, what they report."""
