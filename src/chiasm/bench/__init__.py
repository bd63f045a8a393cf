"""The benchmark: explainer × model × data set × metric."""
