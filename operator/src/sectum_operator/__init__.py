"""Custom resources -> runs of Sectum's stages on Kubernetes, and evidence packs out of them."""
