"""Adapters: how each family of models is run on masked samples."""
