"""Train models: batches, runs, callbacks, optimizers."""
