"""Measurements: speed and memory as ratios in one run, and the tables of the README."""
