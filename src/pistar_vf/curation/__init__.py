"""New datasets out of old ones: labelled copies, merged ones, the other layout. The sources are only read."""
