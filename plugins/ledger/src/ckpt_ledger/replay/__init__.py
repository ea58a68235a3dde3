"""A task run again, on exactly the inputs that it had."""
