"""Bytes on aiohttp: requests upstream, heads, headers, routes, content codings."""
