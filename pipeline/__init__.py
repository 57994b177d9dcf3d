"""All experiments in a row: what is run (plan), how (queue), how long it will take (estimate)."""
