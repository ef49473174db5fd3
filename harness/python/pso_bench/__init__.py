"""What `pso bench` runs in Python: the bank, on pso and on `multiprocessing.Manager`, and single operations with pyperf."""
