"""The nouns of Chiasm: samples, players, coalitions, targets, games, indices, explanations. numpy only."""
