"""What an adapter of an MCP server is built on: the official SDK, within bounds and without trust."""
