"""Labels to an adapter: a map of an encoder's vectors that suits one catalogue, used only where it is better."""
