"""The data sets with planted truth: scenes, questions, captions, and what decides each answer."""
