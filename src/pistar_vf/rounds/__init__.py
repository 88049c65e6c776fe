"""Rounds of RECAP: what a round was made of, what came of it, and how it compares with the rounds before."""
