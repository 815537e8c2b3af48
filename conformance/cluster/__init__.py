"""Kubernetes clusters for tests: one interface (`cluster`), the lab of this project (`lab`), kind (`kind`)."""
