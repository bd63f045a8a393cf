"""Closed models behind the OpenAI chat API."""
