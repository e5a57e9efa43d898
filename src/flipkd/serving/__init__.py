"""The artefact over HTTP, in the shapes that existing clients speak."""
