"""The whole job: labelled pairs in, an evaluated and checked artefact out."""
