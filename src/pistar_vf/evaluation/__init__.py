"""How good a value function is: measures with intervals, beside baselines."""
