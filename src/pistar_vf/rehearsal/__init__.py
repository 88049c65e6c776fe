"""Code of a checkout that is run in memory, in a process that is closed in, with stand-ins for packages and arrays."""
