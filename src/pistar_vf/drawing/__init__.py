"""Pictures and videos of values, and of the models themselves."""
