"""What hack/generate_reference.py puts onto pages."""
