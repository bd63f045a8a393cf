"""Audits: what a model takes from each modality over a whole data set."""
