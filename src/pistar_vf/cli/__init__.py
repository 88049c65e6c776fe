"""The commands: parse the words, call one function, say where the result is."""
