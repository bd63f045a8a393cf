"""Long work over many samples, whatever it is: cells, the store that keeps them, the engines that compute them."""
