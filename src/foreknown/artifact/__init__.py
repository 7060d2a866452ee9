"""The compiled directory: written whole or not at all, checked before use."""

from foreknown.artifact.format import Artifact, Manifest, PhaseRecord, open_artifact
from foreknown.artifact.loading import LoadedProgram, load_program

__all__ = ["Artifact", "LoadedProgram", "Manifest", "PhaseRecord", "load_program", "open_artifact"]
