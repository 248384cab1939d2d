"""Programs in containers, by the Docker or Podman that a machine has anyway; never needed."""
