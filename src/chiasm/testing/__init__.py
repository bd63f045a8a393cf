"""Public conformance kit: what a third-party estimator or adapter must pass, and games with known answers."""
