"""Any local model behind a small server that speaks the OpenAI chat API."""
