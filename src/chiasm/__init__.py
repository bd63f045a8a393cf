"""Chiasm: what a multimodal model takes from each input, what only from their combination, and is that true?"""
