"""How the models of the zoo are built and trained."""
