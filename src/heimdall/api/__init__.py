"""The HTTP and WebSocket surface: routes parse, call one service method, render."""
