"""Networks, losses, training loops, sampling from weights, checkpoints. Tensors in, tensors out;
nothing here knows of jobs, databases or HTTP."""
