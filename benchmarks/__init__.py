"""Benchmarks of the scan and the models, against lower bounds measured on this machine."""
