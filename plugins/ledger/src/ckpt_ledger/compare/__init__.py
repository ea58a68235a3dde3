"""Two runs compared, and a task run explained."""
