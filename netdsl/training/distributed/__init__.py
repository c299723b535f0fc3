"""Several processes: process group, sharded weights, launching."""
