"""The Responses API over a WebSocket: frames read beside the bytes, turns metered one by one."""
