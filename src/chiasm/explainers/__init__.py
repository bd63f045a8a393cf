"""Explainers: methods that yield an explanation."""
