"""Makes synthetic radio data: one transmitter heard by several receivers."""
