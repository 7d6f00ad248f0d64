"""The monitor of text inputs."""
