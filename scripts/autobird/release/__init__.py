"""From a trained model to a released one: export, prune, quantize, compare, bundle."""
