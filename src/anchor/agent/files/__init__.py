"""The files of jobs: inputs kept on this node, brought into a job's directory, and outputs taken from it."""
