"""The run folder of a training: what it keeps, which weights are best, and how an interrupted training goes on."""
