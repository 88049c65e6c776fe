"""Labels for policies of others: as prompts, as files beside the tables, as weights of frames."""
